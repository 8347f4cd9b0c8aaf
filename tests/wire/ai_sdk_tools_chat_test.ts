/** Tool calls in the AI SDK's own chat and transport, as they are shipped: `useChat` is this chat in React. */

import assert from "node:assert/strict";
import {
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
  WebSocketChatTransport,
} from "ai";
import { AgentChatTransport } from "../../client/ai_sdk.ts";
import { ToolClient } from "../../client/tool_client.ts";
import type { ModelToolCall } from "../../supabase/functions/_shared/ports/model.ts";
import { startAgent, type TestAgent, until } from "../support/agent_harness.ts";
import { socketsOf } from "../support/ai_sdk_socket.ts";
import { socketsOf as clientSocketsOf } from "../support/harness_sockets.ts";
import { Chat, textOf } from "../support/plain_chat.ts";
import { ScriptedAgent } from "../support/scripted_agent.ts";
import { sectionOf } from "../support/section.ts";
import { read } from "../support/source_files.ts";

const TOOLS = { find: {}, refund: { needs: "approval" }, pick: { needs: "client" } } as const;

/** Which transport the page uses: the SDK's own, or that of our client. */
type Kind = "WebSocketChatTransport" | "AgentChatTransport";

interface Stage {
  agent: TestAgent;
  tools: ScriptedAgent;
  /** A page with the example of docs/AI_SDK.md. */
  open(): { chat: Chat; decide(part: unknown, approved: boolean, reason?: string): Promise<void> };
}

function start(kind: Kind = "WebSocketChatTransport"): Stage {
  const tools = new ScriptedAgent(TOOLS);
  const agent = startAgent({ agent: tools });
  const [, code = ""] = /```js\n([^]*?)```/.exec(sectionOf(read("docs/AI_SDK.md"), "approvals")) ?? [];
  const open = (): ReturnType<Stage["open"]> => {
    const transport = kind === "WebSocketChatTransport"
      ? new WebSocketChatTransport({ url: "ws://localhost/", webSocket: socketsOf(agent) })
      : new AgentChatTransport(clientOf(agent), { clock: agent.clock });
    const scope = {
      transport,
      useChat: (options: ConstructorParameters<typeof Chat>[0]) => new Chat(options),
      lastAssistantMessageIsCompleteWithApprovalResponses,
      lastAssistantMessageIsCompleteWithToolCalls,
    };
    return new Function(...Object.keys(scope), `${code}; return { chat, decide };`)(...Object.values(scope));
  };
  return { agent, tools, open };
}

function clientOf(agent: TestAgent): ToolClient {
  const { WebSocket } = clientSocketsOf(agent);
  return new ToolClient("http://localhost/agent_websocket", { WebSocket, clock: agent.clock, wake: {} });
}

function call(name: string, input: unknown = {}): ModelToolCall {
  return { id: `call-${name}`, name, arguments: JSON.stringify(input) };
}

/** Waits while the clock goes on: an answer that waits ends its requests a moment later. */
function soon({ agent }: Stage, check: () => boolean): Promise<void> {
  return until(() => {
    agent.clock.advance(10);
    return check();
  });
}

function partsOf(chat: Chat): string[] {
  return (chat.lastMessage?.parts ?? []).map((part) =>
    part.type === "dynamic-tool"
      ? `${part.toolName} ${part.state}`
      : part.type === "text"
      ? part.text
      : part.type
  );
}

function toolOf(chat: Chat, name: string): { toolCallId: string } {
  const part = chat.lastMessage?.parts.find((part) => part.type === "dynamic-tool" && part.toolName === name);
  return part?.type === "dynamic-tool" ? part : assert.fail(`no ${name}`);
}

async function decides(kind: Kind): Promise<void> {
  const stage = start(kind);
  const { agent, tools, open } = stage;
  const { chat, decide } = open();
  void chat.sendMessage({ text: "Refund it" });
  await soon(stage, () => agent.model.calls.length === 1);
  agent.model.last.say("Let me see.");
  agent.model.last.end({ calls: [call("refund", { amount: 25 }), call("pick")] });
  await soon(stage, () => chat.status === "ready");
  assert.deepEqual(partsOf(chat), ["Let me see.", "refund approval-requested", "pick input-available"]);

  const waits = (): Promise<boolean> => Promise.resolve(chat.status === "ready");
  await decide(toolOf(chat, "refund"), true);
  assert.ok(await waits(), "one call of the step has no answer");
  assert.equal(tools.runs.length, 0);
  // The page has picked, and the hook sends both.
  void chat.addToolOutput({
    tool: "pick",
    toolCallId: toolOf(chat, "pick").toolCallId,
    output: { date: "2026-12-01" },
  });
  await soon(stage, () => tools.runs.length === 1);
  tools.last.end({ outcome: "ok", output: "refunded" });
  await until(() => agent.model.calls.length === 2);
  assert.deepEqual(agent.model.last.request.messages.slice(-2).map(({ content }) => content), [
    "refunded",
    '{"date":"2026-12-01"}',
  ]);

  // Another step that needs approval: rejected, with a reason.
  agent.model.last.say("Once more.");
  agent.model.last.end({ calls: [call("refund", { amount: 30 })] });
  await soon(stage, () => chat.status === "ready");
  const again = chat.lastMessage?.parts.at(-1);
  assert.ok(again?.type === "dynamic-tool" && again.state === "approval-requested");
  await decide(again, false, "enough");
  await until(() => agent.model.calls.length === 3);
  assert.match(agent.model.last.request.messages.at(-1)?.content ?? "", /"enough"/);
  agent.model.last.finish("As you like.");
  await soon(stage, () => chat.status === "ready");
  assert.deepEqual(partsOf(chat), [
    "Let me see.",
    "refund output-available",
    "pick output-available",
    "step-start",
    "Once more.",
    "refund output-denied",
    "step-start",
    "As you like.",
  ]);
  assert.equal(chat.messages.length, 2);
  assert.equal(chat.error, undefined);
  assert.equal(agent.model.calls.length, 3, "nothing was asked once more");
  await chat.dispose();
}

Deno.test(
  "[AS15] [AS16] WebSocketChatTransport: approve, reject and answer calls; the same answer goes on, and asks nothing",
  () => decides("WebSocketChatTransport"),
);

Deno.test(
  "[CT27] [CT28] AgentChatTransport: approve, reject and answer calls; the same answer goes on, and asks nothing",
  () => decides("AgentChatTransport"),
);

Deno.test("[AS15] the shipped chat: a page that comes back sees what waits, decides, and a decision made elsewhere is resumed", async () => {
  const stage = start();
  const { agent, tools, open } = stage;
  const first = open();
  void first.chat.sendMessage({ text: "Refund it" });
  await soon(stage, () => agent.model.calls.length === 1);
  agent.model.last.end({ calls: [call("refund")] });
  await soon(stage, () => first.chat.status === "ready");
  const second = open();
  const resumed = second.chat.resumeStream();
  await soon(stage, () => second.chat.status === "ready" && second.chat.messages.length > 0);
  await resumed;
  assert.deepEqual(partsOf(second.chat), ["refund approval-requested"]);
  await second.decide(toolOf(second.chat, "refund"), true);
  await soon(stage, () => tools.runs.length === 1);
  const elsewhere = first.chat.resumeStream();
  tools.last.end({ outcome: "ok", output: "refunded" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("Done.");
  await soon(stage, () => first.chat.status === "ready" && second.chat.status === "ready");
  await elsewhere;
  const expected = ["refund output-available", "step-start", "Done."];
  assert.deepEqual(partsOf(second.chat), expected);
  await soon(stage, () => partsOf(first.chat).length === expected.length);
  assert.deepEqual(partsOf(first.chat), expected);
  await first.chat.dispose();
  await second.chat.dispose();
});

async function asksInstead(kind: Kind): Promise<void> {
  const stage = start(kind);
  const { agent, tools, open } = stage;
  const { chat } = open();
  void chat.sendMessage({ text: "Refund it" });
  await soon(stage, () => agent.model.calls.length === 1);
  agent.model.last.end({ calls: [call("refund")] });
  await soon(stage, () => chat.status === "ready");
  void chat.sendMessage({ text: "Never mind" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("Fine.");
  await soon(stage, () => chat.status === "ready");
  assert.equal(textOf(chat.lastMessage), "Fine.");
  assert.equal(tools.runs.length, 0);
  await chat.dispose();
}

Deno.test("[AS17] WebSocketChatTransport: another message stops the answer that waits", () =>
  asksInstead("WebSocketChatTransport"));

Deno.test("[CT28] AgentChatTransport: another message stops the answer that waits", () =>
  asksInstead("AgentChatTransport"));

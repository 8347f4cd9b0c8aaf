/** The transport of the AI SDK with a client for agents with tools: the chunks of calls, and what a page sends back. */

import assert from "node:assert/strict";
import type { UIMessage, UIMessageChunk } from "ai";
import { AgentChatTransport } from "../../../client/ai_sdk.ts";
import type { ToolClient } from "../../../client/tool_client.ts";
import { settle } from "../../support/manual_clock.ts";
import { type ScriptedSocket, scriptedToolClient, type TestClient } from "../../support/scripted_sockets.ts";
import { ToolFrames } from "../../support/tool_frames.ts";

type SendOptions = Parameters<AgentChatTransport["sendMessages"]>[0];

interface Stage extends TestClient<ToolClient> {
  server: ScriptedSocket;
  frames: ToolFrames;
  transport: AgentChatTransport;
  /** Sends messages, and collects the chunks of the answer. */
  send(
    messages: UIMessage[],
    fields?: Partial<SendOptions>,
  ): Promise<{ chunks: UIMessageChunk[]; end: Promise<void> }>;
}

const QUESTION: UIMessage = { id: "m", role: "user", parts: [{ type: "text", text: "Refund it" }] };

async function start(options: Parameters<typeof scriptedToolClient>[0] = {}): Promise<Stage> {
  const scripted = scriptedToolClient(options);
  const server = await scripted.welcomed();
  const transport = new AgentChatTransport(scripted.client, { clock: scripted.clock });
  const send: Stage["send"] = async (messages, fields) => {
    const stream = await transport.sendMessages({
      trigger: "submit-message",
      chatId: "c",
      messageId: undefined,
      messages,
      abortSignal: undefined,
      ...fields,
    });
    return collect(stream);
  };
  return { ...scripted, server, frames: new ToolFrames("m"), transport, send };
}

function collect(stream: ReadableStream<UIMessageChunk>): { chunks: UIMessageChunk[]; end: Promise<void> } {
  const chunks: UIMessageChunk[] = [];
  const end = (async () => {
    for await (const chunk of stream) chunks.push(chunk);
  })();
  end.catch(() => {});
  return { chunks, end };
}

function typesOf(chunks: readonly UIMessageChunk[]): string[] {
  return chunks.map((chunk) => "delta" in chunk ? `${chunk.type}: ${chunk.delta}` : chunk.type);
}

/** The answer with two calls, as the page has it. */
function answer(parts: UIMessage["parts"]): UIMessage[] {
  return [QUESTION, { id: "answer-t-m", role: "assistant", parts }];
}

function part(frames: ToolFrames, place: number, rest: object): UIMessage["parts"][number] {
  const toolCallId = frames.callId(place);
  return {
    type: "dynamic-tool",
    toolName: "x",
    toolCallId,
    input: {},
    ...rest,
  } as UIMessage["parts"][number];
}

function responded(
  frames: ToolFrames,
  place: number,
  approved: boolean,
  reason?: string,
): UIMessage["parts"][number] {
  return part(frames, place, {
    state: "approval-responded",
    approval: { id: frames.callId(place), approved, reason },
  });
}

/** A question whose model wants two approvals. The stream has ended. */
async function waiting(options?: Parameters<typeof scriptedToolClient>[0]): Promise<Stage> {
  const stage = await start(options);
  const { server, frames, send, clock } = stage;
  const { chunks, end } = await send([QUESTION]);
  server.say(frames.thinking());
  server.say(frames.call("refund", { needs: "approval", text: "Let me see." }));
  server.say(frames.call("close", { needs: "approval", place: 1 }));
  server.say(frames.requested("refund"));
  server.say(frames.requested("close", {}, 1));
  await settle();
  clock.advance(50);
  await end;
  assert.deepEqual(typesOf(chunks), [
    "start",
    "text-start",
    "text-delta: Let me see.",
    "text-end",
    "tool-input-available",
    "tool-approval-request",
    "tool-input-available",
    "tool-approval-request",
    "finish",
  ]);
  return stage;
}

Deno.test("[CT27] AgentChatTransport: each step is its text, then its calls, and what follows begins a step", async () => {
  const { client, server, frames, send } = await start();
  const { chunks, end } = await send([QUESTION]);
  server.say(frames.thinking());
  server.say(frames.delta(0, "Let me"));
  await settle();
  server.say(frames.call("find", { text: "Let me look.", input: { a: 1 } }));
  await settle();
  server.say(frames.result("find", "[1]"));
  server.say(frames.call("find", { step: 2, text: "" }));
  await settle();
  server.say(frames.result("find", "no", "error", 0, 2));
  server.say(frames.delta(6, " look.\n\n"));
  await settle();
  server.say(frames.delta(14, "Done"));
  await settle();
  server.say(frames.delta(14, "All done"));
  server.say(frames.response("Let me look.\n\nAll done."));
  await end;
  assert.deepEqual(typesOf(chunks), [
    "start",
    "text-start",
    "text-delta: Let me",
    "text-delta:  look.",
    "text-end",
    "tool-input-available",
    "tool-output-available",
    "start-step",
    "tool-input-available",
    "tool-output-error",
    "start-step",
    "text-start",
    "text-delta: Done",
    "text-end",
    "reset-step",
    "text-start",
    "text-delta: All done.",
    "text-end",
    "finish",
  ]);
  assert.deepEqual(chunks[5], {
    type: "tool-input-available",
    toolCallId: frames.callId(0),
    toolName: "find",
    input: { a: 1 },
    dynamic: true,
  });
  client.close();
});

Deno.test("[CT28] AgentChatTransport: decisions in the parts are sent, nothing is asked, and the same answer goes on", async () => {
  const { client, server, frames, send } = await waiting();
  const parts = [responded(frames, 0, true), responded(frames, 1, false, "not yet")];
  const asked = server.asked.length;
  const { chunks, end } = await send(answer(parts), {
    body: { inputs: { [frames.callId(0)]: { amount: 10 } } },
  });
  const decisions = server.sent.filter(({ type }) => type === "human_feedback");
  assert.deepEqual(
    decisions.map(({ approval_id, verdict, input, content }) => [approval_id, verdict, input ?? content]),
    [
      [frames.callId(0), "modify", { amount: 10 }],
      [frames.callId(1), "reject", "not yet"],
    ],
  );
  server.say(frames.decided("modify", { input: { amount: 10 } }));
  server.status("decision_received", decisions[0]?.id ?? "");
  server.say(frames.decided("reject", { comment: "not yet" }, 1));
  server.error("already_decided", { in_reply_to: decisions[1]?.id });
  await settle();
  server.say(frames.result("refund", "refunded"));
  await settle();
  server.say(frames.response("Let me see.\n\nRefunded."));
  await end;
  assert.equal(server.asked.length, asked);
  assert.deepEqual(typesOf(chunks), [
    "start",
    "tool-input-available",
    "tool-approval-response",
    "tool-approval-response",
    "tool-output-denied",
    "tool-output-available",
    "start-step",
    "text-start",
    "text-delta: Refunded.",
    "text-end",
    "finish",
  ]);
  client.close();
});

Deno.test("[CT28] AgentChatTransport: a decision that the tool does not take fails the stream, and the call still waits", async () => {
  const { client, server, frames, send } = await waiting();
  const { end } = await send(answer([responded(frames, 0, true)]), {
    body: { inputs: { [frames.callId(0)]: 3 } },
  });
  await settle();
  server.error("invalid_args", { in_reply_to: server.sent.at(-1)?.id });
  await assert.rejects(end, { code: "invalid_args" });
  assert.equal(client.approvals.length, 2);
  client.close();
});

Deno.test("[CT28] AgentChatTransport: the output of a tool of the page is sent; one of another page counts if it was faster", async () => {
  const { client, server, frames, send, clock } = await start();
  const first = await send([QUESTION]);
  server.say(frames.thinking());
  server.say(frames.call("pick", { needs: "client" }));
  await settle();
  clock.advance(50);
  await first.end;
  const output = part(frames, 0, { state: "output-available", output: { date: 1 } });
  const { chunks, end } = await send(answer([output]));
  assert.deepEqual([server.sent.at(-1)?.call_id, server.sent.at(-1)?.output], [frames.callId(0), {
    date: 1,
  }]);
  server.say(frames.result("pick", "2"));
  server.error("already_decided", { in_reply_to: server.sent.at(-1)?.id });
  server.say(frames.response("Fine."));
  await end;
  assert.deepEqual(chunks[1], {
    type: "tool-output-available",
    toolCallId: frames.callId(0),
    output: "2",
    dynamic: true,
  });
  client.close();
});

Deno.test("[CT28] AgentChatTransport: a tool that the client runs by itself leaves the stream open", async () => {
  const { client, server, frames, send, clock } = await start({ tools: { pick: () => "now" } });
  const { chunks, end } = await send([QUESTION]);
  server.say(frames.thinking());
  server.say(frames.call("pick", { needs: "client" }));
  await settle();
  clock.advance(50);
  await settle();
  assert.equal(server.sent.at(-1)?.output, "now");
  server.say(frames.result("pick", "now"));
  server.say(frames.response("Fine."));
  await end;
  assert.equal(typesOf(chunks).filter((type) => type === "finish").length, 1);
  client.close();
});

Deno.test("[CT28] AgentChatTransport: after a reload the page resumes what waits, and decides", async () => {
  const { client, server, frames, transport, clock } = await waiting();
  const resumed = await transport.reconnectToStream({ chatId: "c" });
  assert.ok(resumed);
  const { chunks, end } = collect(resumed);
  await settle();
  clock.advance(50);
  await end;
  assert.deepEqual(typesOf(chunks).filter((type) => type === "tool-approval-request").length, 2);
  await assert.rejects(
    transport.sendMessages({
      trigger: "submit-message",
      chatId: "c",
      messageId: undefined,
      messages: [{ ...answer([responded(frames, 0, true)])[1], id: "answer-other" } as UIMessage],
      abortSignal: undefined,
    }),
    { code: "unknown_turn" },
  );
  assert.equal(server.sent.filter(({ type }) => type === "human_feedback").length, 0);
  client.close();
});

Deno.test("[CT28] AgentChatTransport: a question that is asked while an answer waits takes its place", async () => {
  const { client, server, send } = await waiting();
  await send([QUESTION, { id: "m2", role: "user", parts: [{ type: "text", text: "Never mind" }] }]);
  const asked = server.sent.at(-1);
  assert.deepEqual([asked?.content, asked?.policy], ["Never mind", "interrupt"]);
  client.close();
});

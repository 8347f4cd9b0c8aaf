/** The client for agents with tools and a session, as they speak to each other. */

import assert from "node:assert/strict";
import { MemoryStorage } from "../../support/scripted_sockets.ts";
import { ToolClient, type ToolClientOptions } from "../../../client/tool_client.ts";
import type { ModelToolCall } from "../../../supabase/functions/_shared/ports/model.ts";
import { startAgent, type TestAgent, until } from "../../support/agent_harness.ts";
import { type HarnessSockets, socketsOf } from "../../support/harness_sockets.ts";
import { ScriptedAgent } from "../../support/scripted_agent.ts";

const TOOLS = { find: {}, refund: { needs: "approval" }, pick: { needs: "client" } } as const;

interface Stage {
  agent: TestAgent;
  tools: ScriptedAgent;
  sockets: HarnessSockets;
  /** A page of one anonymous user. */
  open(options?: ToolClientOptions): ToolClient;
}

function start(): Stage {
  const tools = new ScriptedAgent(TOOLS);
  const agent = startAgent({ agent: tools });
  const sockets = socketsOf(agent);
  const open: Stage["open"] = (options) =>
    new ToolClient("http://localhost/agent_websocket", {
      WebSocket: sockets.WebSocket,
      clock: agent.clock,
      wake: {},
      ...options,
    });
  return { agent, tools, sockets, open };
}

function call(name: string, input: unknown = {}): ModelToolCall {
  return { id: `call-${name}`, name, arguments: JSON.stringify(input) };
}

/** Waits while the clock goes on: the client connects when its timer says so. */
function soon({ agent }: Stage, check: () => boolean): Promise<void> {
  return until(() => {
    agent.clock.advance(10);
    return check();
  });
}

Deno.test("[CT24] [CT26] a client decides, answers a call with its own tool, and has the messages of it", async () => {
  const stage = start();
  const { agent, tools, open } = stage;
  const client = open({ tools: { pick: ({ month }: { month: string }) => ({ date: `1 ${month}` }) } });
  const turn = client.query("Refund it");
  await soon(stage, () => agent.model.calls.length === 1);
  agent.model.last.say("Let me see.");
  agent.model.last.end({ calls: [call("refund", { amount: 25 }), call("pick", { month: "May" })] });
  await until(() => client.approvals.length === 1 && client.calls.some(({ output }) => output !== undefined));
  const [approval] = client.approvals;
  await assert.rejects(client.modify(approval?.approvalId ?? "", 3), { code: "invalid_args" });
  assert.equal(client.approvals.length, 1);
  await client.modify(approval?.approvalId ?? "", { amount: 10 });
  assert.deepEqual(client.approvals, []);
  await assert.rejects(client.approve(approval?.approvalId ?? ""), { code: "already_decided" });
  await assert.rejects(client.approve("forged"), { code: "unknown_approval" });
  await until(() => tools.runs.length === 1);
  assert.deepEqual(tools.last.call.input, { amount: 10 });
  tools.last.end({ outcome: "ok", output: "refunded" });
  await until(() => agent.model.calls.length === 2);
  assert.equal(agent.model.last.request.messages.at(-1)?.content, '{"date":"1 May"}');
  agent.model.last.finish("Done.");
  assert.equal((await turn.final).text, "Let me see.\n\nDone.");
  assert.deepEqual(client.messages.at(-1)?.parts.map((part) => "state" in part ? part.state : part.type), [
    "done",
    "output-available",
    "output-available",
    "step-start",
    "done",
  ]);
  client.close();
});

Deno.test("[CT24] [CT25] what waits is known to every page of the session, after a cut and after a reload", async () => {
  const stage = start();
  const { agent, tools, sockets, open } = stage;
  const storage = new MemoryStorage();
  const first = open({ storage });
  first.query("Refund it");
  await soon(stage, () => agent.model.calls.length === 1);
  agent.model.last.end({ calls: [call("refund")] });
  await until(() => first.approvals.length === 1);
  // A tab that was duplicated, and one that is reloaded later.
  const copy = new MemoryStorage();
  for (const [key, value] of storage.items) copy.setItem(key, value);
  const second = open({ storage: copy });
  void second.connect();
  await soon(stage, () => second.status === "open");
  assert.deepEqual(second.approvals, first.approvals);
  sockets.cut();
  const decided = second.reject(second.approvals[0]?.approvalId ?? "", "no");
  await soon(stage, () => first.approvals.length === 0 && second.approvals.length === 0);
  await decided;
  assert.deepEqual(first.calls[0]?.decision, { verdict: "reject", comment: "no" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.end({ calls: [call("refund", { again: true })] });
  await until(() => first.approvals.length === 1);
  first.close();
  const reloaded = open({ storage });
  assert.equal(reloaded.approvals.length, 1);
  void reloaded.connect();
  await soon(stage, () => reloaded.status === "open");
  await reloaded.approve(reloaded.approvals[0]?.approvalId ?? "");
  await until(() => tools.runs.length === 1);
  assert.deepEqual(tools.last.call.input, { again: true });
  second.close();
  reloaded.close();
});

Deno.test("[CT26] of two pages that run a tool the first result counts, and the other one is aborted", async () => {
  const stage = start();
  const { agent, open } = stage;
  const storage = new MemoryStorage();
  const picked = Promise.withResolvers<string>();
  const first = open({ storage, tools: { pick: () => picked.promise } });
  first.query("When?");
  await soon(stage, () => agent.model.calls.length === 1);
  agent.model.last.end({ calls: [call("pick")] });
  await until(() => first.calls.length === 1);
  let aborted: AbortSignal | undefined;
  const copy = new MemoryStorage();
  for (const [key, value] of storage.items) copy.setItem(key, value);
  const second = open({
    storage: copy,
    tools: {
      pick: (_, { signal }) => {
        aborted = signal;
        return new Promise(() => {});
      },
    },
  });
  void second.connect();
  await soon(stage, () => aborted !== undefined);
  picked.resolve("here");
  await until(() => agent.model.calls.length === 2 && aborted?.aborted === true);
  assert.equal(agent.model.last.request.messages.at(-1)?.content, '"here"');
  first.close();
  second.close();
});

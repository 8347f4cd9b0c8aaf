/** The activity events that a real session emits while it is watched. */

import assert from "node:assert/strict";
import { AgentActivity } from "../../../supabase/functions/_shared/activity/agent_activity.ts";
import type { ActivityEvent } from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { startAgent, type TestAgent, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { ScriptedAgent } from "../../support/scripted_agent.ts";

interface Told {
  event: ActivityEvent;
  userId: string | undefined;
}

function watchedAgent(options: { agent?: ScriptedAgent } = {}): TestAgent & { told: Told[] } {
  const told: Told[] = [];
  const sink = {
    isWatched: true,
    broadcast: (event: ActivityEvent, owner: { userId?: string | undefined } = {}): void =>
      void told.push({ event, userId: owner.userId }),
  };
  const agent = startAgent({ ...options, makeActivity: (clock) => new AgentActivity(sink, clock) });
  return { ...agent, told };
}

const stagesOf = (told: readonly Told[]): unknown[] =>
  told.flatMap(({ event: { type, data } }) =>
    type === "reasoning_update" && "stage" in data ? [data.stage] : []
  );

Deno.test("[AC17] [AC18] [AC19] a session, its turns and its memory are told of, and whose they are", async () => {
  const agent = watchedAgent();
  agent.verifier.admit("ann's", "ann");
  const client = await agent.connect("jwt=ann's");
  client.ask("one");
  client.ask("two");
  await settle();
  agent.model.last.say("words");
  agent.model.last.finish();
  await settle();
  client.command("cancel");
  await settle();
  client.command("configure", { temperature: 0 });
  client.command("clear");
  await settle();
  client.command("delete");
  await settle();
  assert.deepEqual(stagesOf(agent.told), [
    "queued",
    "thinking",
    "queued",
    "streaming",
    "completed",
    "thinking",
    "cancelled",
  ]);
  const sessions = agent.told.flatMap(({ event: { data } }) =>
    "event" in data && "sessionId" in data ? [data.event] : []
  );
  assert.deepEqual(sessions, ["created", "updated", "updated", "deleted"]);
  const memory = agent.told.flatMap(({ event: { data } }) =>
    "operation" in data ? [`${data.operation} ${data.sector}`] : []
  );
  assert.deepEqual(memory.filter((what) => what.startsWith("recall")).length, 2);
  assert.deepEqual(memory.filter((what) => what === "store log").length, 5);
  assert.deepEqual(memory.filter((what) => what.startsWith("delete")), ["delete history", "delete session"]);
  assert.ok(agent.told.every(({ userId }) => userId === "ann"));
});

Deno.test("[AC17] tool calls are told of: what runs, what waits, what was decided; and counted, each once", async () => {
  const tools = new ScriptedAgent({ find: {}, refund: { needs: "approval" }, mine: { asUser: true } });
  const agent = watchedAgent({ agent: tools });
  const client = await agent.connect("stream=true&tools=true");
  client.ask("one");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Let me look. ".repeat(100));
  const call = (id: string, name: string) => ({ id, name, arguments: '{"secret":"s3cret"}' });
  agent.model.last.end({ calls: [call("1", "find"), call("2", "refund"), call("3", "invented")] });
  await until(() => tools.runs.length === 1);
  await agent.clock.advance(40);
  tools.last.end({ outcome: "ok", output: "s3cret" });
  await until(() => client.of("tool_result").length === 2);
  const request = { type: "human_feedback", approval_id: client.only("approval_requested").approval_id };
  client.say({ ...request, verdict: "approve", id: "d" });
  await until(() => tools.runs.length === 2);
  client.say({ ...request, verdict: "approve", id: "d" });
  client.say({ ...request, verdict: "reject", id: "late" });
  await until(() => client.of("error", "already_decided").length === 1);
  tools.last.end({ outcome: "error", output: "s3cret" });
  await until(() => agent.model.calls.length === 2);
  client.vanish();
  agent.model.last.end({ calls: [call("1", "mine")] });
  await until(() => JSON.stringify(agent.told).includes('"mode":"user"'));
  const back = await agent.connect(client.resumeQuery(0));
  await until(() => tools.runs.length === 3);
  tools.last.end({ outcome: "ok", output: "s3cret" });
  await until(() => agent.model.calls.length === 3);
  agent.model.last.finish("Done.");
  await until(() => back.of("response").length === 1);

  const updates = agent.told.flatMap(({ event: { data } }) => "stage" in data ? [data] : []);
  assert.deepEqual(updates.map(({ stage, mode }) => mode === undefined ? stage : `${stage} ${mode}`), [
    "queued",
    "thinking",
    "streaming",
    "waiting approval",
    "calling find",
    "called find",
    "decided approve",
    "calling refund",
    "called refund",
    "thinking",
    "waiting user",
    "calling mine",
    "called mine",
    "thinking",
    "completed",
  ]);
  const progress = updates.map(({ progress }) => progress);
  assert.deepEqual(progress, progress.toSorted((one, other) => one - other), "it never falls");
  assert.ok(!JSON.stringify([agent.told, agent.logged]).includes("s3cret"));
  const ended = agent.logged.flatMap(({ event, tool, outcome, ms }) =>
    event === "tool_call_ended" ? [[tool, outcome, ms]] : []
  );
  assert.deepEqual(ended, [[undefined, "refused", undefined], ["find", "ok", 40], ["refund", "error", 0], [
    "mine",
    "ok",
    0,
  ]]);
  const counted = agent.metrics.render([]).split("\n").filter((line) =>
    /^agent_websocket_(tool|approvals)/.test(line)
  );
  assert.deepEqual(counted.map((line) => line.replace("agent_websocket_", "")).sort(), [
    'approvals_total{verdict="approve"} 1',
    'tool_calls_total{outcome="error"} 1',
    'tool_calls_total{outcome="ok"} 2',
    'tool_calls_total{outcome="refused"} 1',
    'tool_waits_total{for="approval"} 1',
    'tool_waits_total{for="user"} 1',
  ]);
});

Deno.test("[AC17] a failed turn and an interrupted one are told of as such", async () => {
  const agent = watchedAgent();
  const client = await agent.connect();
  agent.model.onCall = () => {
    throw new Error("bug");
  };
  client.ask("one");
  await settle();
  agent.model.onCall = undefined;
  client.ask("two");
  await settle();
  const drained = agent.server.drain("test");
  agent.clock.advance(10_000);
  await settle();
  client.vanish();
  await drained;
  assert.deepEqual(stagesOf(agent.told), [
    "queued",
    "thinking",
    "failed",
    "queued",
    "thinking",
    "interrupted",
  ]);
});

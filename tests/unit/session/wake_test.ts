/** Sessions that a decision over HTTP wakes, while no client has them open. */

import assert from "node:assert/strict";
import { type TestClient, until } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { ScriptedAgent } from "../../support/scripted_agent.ts";
import { startWorkers, type TestWorker, type WorkerOptions, type Workers } from "../../support/workers.ts";

const DAY_MS = 24 * 3_600_000;

/** A session whose only turn may go on, as its call was approved, and a worker that has not heard of it. */
async function approved(more: WorkerOptions = {}): Promise<
  { sessionId: string; tools: ScriptedAgent; worker: TestWorker; pass(times?: number): Promise<void> }
> {
  const workers = startWorkers();
  const tools = new ScriptedAgent({ refund: { needs: "approval" } });
  const options = { agent: tools, settings: { approvalMs: DAY_MS } };
  const first = workers.start("a", options);
  const client = await first.connect("tools=true");
  client.ask("please", { id: "q" });
  await until(() => first.model.calls.length === 1);
  first.model.last.end({ calls: [{ id: "c", name: "refund", arguments: "{}" }] });
  await until(() => client.of("approval_requested").length === 1);
  const { sessionId } = client;
  first.kill();
  await workers.pass(10_000);
  const { events } = await workers.store.read(sessionId, { afterSeq: 0, limit: 100 });
  const asked = events.find(({ kind }) => kind === "approval_requested");
  assert.ok(asked?.kind === "approval_requested");
  const { queryId, turnId, callId } = asked;
  await workers.store.forWorker("elsewhere").commit(sessionId, {
    events: [{ kind: "approval_decided", queryId, turnId, callId, decisionId: "d", verdict: "approve" }],
  });
  const worker = workers.start("b", { ...options, ...more });
  const pass = async (times = 20): Promise<void> => {
    for (let step = 0; step < times; step++) await workers.pass(100);
  };
  return { sessionId, tools, worker, pass };
}

Deno.test("[OP5] a worker that is woken goes on with the turn, without a client", async () => {
  const { sessionId, tools, worker, pass } = await approved();
  assert.equal(await worker.server.wake(sessionId), true);
  await pass();
  assert.equal(tools.runs.length, 1);
  tools.last.end({ outcome: "ok", output: "done" });
  await until(() => worker.model.calls.length === 1);
  assert.equal(await worker.server.wake("00000000-0000-4000-8000-000000000000"), false);
});

Deno.test("[OP5] a worker that is replaced while it looks for the session does not take it", async () => {
  const { sessionId, tools, worker, pass } = await approved();
  worker.latencyMs = 100;
  const woken = worker.server.wake(sessionId);
  await settle();
  void worker.server.drain("wall_clock");
  await pass();
  assert.equal(await woken, false);
  assert.deepEqual([tools.runs.length, worker.server.count().sessions], [0, 0]);
});

Deno.test("[OP5] a worker that is replaced while it claims the turn that it was woken for wakes the next one", async () => {
  const woken: string[] = [];
  const wakeElsewhere = (sessionId: string): Promise<void> => Promise.resolve(void woken.push(sessionId));
  const { sessionId, tools, worker, pass } = await approved({
    server: { wakeElsewhere, drainTimeoutMs: 1000 },
  });
  worker.latencyMs = 100;
  let isWoken: boolean | undefined;
  void worker.server.wake(sessionId).then((is) => isWoken = is);
  while (isWoken === undefined) await pass(1);
  void worker.server.drain("wall_clock");
  await pass();
  assert.deepEqual([tools.runs.length, woken], [0, [sessionId]]);
});

Deno.test("[OP5] an answer goes on elsewhere when its worker is replaced, though nobody is connected", async () => {
  const workers = startWorkers();
  const woken: string[] = [];
  const wakeElsewhere = async (sessionId: string): Promise<void> => {
    woken.push(sessionId);
    await next.server.wake(sessionId);
  };
  const first = workers.start("a", { server: { wakeElsewhere, drainTimeoutMs: 1000 } });
  const next = workers.start("b");
  const [client, idle] = [await first.connect("stream=true"), await first.connect("stream=true")];
  client.ask("Tell me a story", { id: "q" });
  await until(() => first.model.calls.length === 1);
  first.model.last.say("Once upon ");
  client.vanish();
  await workers.pass(1000);
  const drained = first.server.drain("wall_clock");
  await workers.pass(1000);
  await workers.pass(3000);
  await drained;
  await until(() => next.model.calls.length === 1);
  next.model.last.finish("a time.");
  await settle();
  const { events } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 10 });
  assert.deepEqual(events.map(({ kind }) => kind), ["query", "response"]);
  assert.deepEqual(woken, [client.sessionId], "and not the idle one's");
  assert.ok(idle.sessionId !== client.sessionId);
});

/** A worker that is being replaced while it answers a client, and the sessions that it has woken elsewhere. */
async function replaced(): Promise<
  { workers: Workers; client: TestClient; woken: string[]; drained: Promise<void> }
> {
  const workers = startWorkers();
  const woken: string[] = [];
  const wakeElsewhere = (sessionId: string): Promise<void> => Promise.resolve(void woken.push(sessionId));
  const worker = workers.start("a", { server: { wakeElsewhere, drainTimeoutMs: 1000 } });
  const client = await worker.connect("stream=true");
  client.ask("Tell me a story", { id: "q" });
  await until(() => worker.model.calls.length === 1);
  return { workers, client, woken, drained: worker.server.drain("wall_clock") };
}

Deno.test("[OP5] a session whose client is connected is not woken: the client opens it", async () => {
  const { workers, woken, drained } = await replaced();
  await workers.pass(1000);
  await workers.pass(3000);
  await drained;
  assert.deepEqual(woken, []);
});

Deno.test("[OP5] a session whose client leaves while its worker is being replaced is woken elsewhere", async () => {
  const { workers, client, woken, drained } = await replaced();
  await workers.pass(500);
  client.vanish();
  await workers.pass(500);
  await workers.pass(3000);
  await drained;
  assert.deepEqual(woken, [client.sessionId]);
});

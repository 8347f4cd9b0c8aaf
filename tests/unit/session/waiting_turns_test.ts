/** Turns that wait for somebody: for a day, through the deaths of workers, and at no cost to those that live. */

import assert from "node:assert/strict";
import { type TestClient, until } from "../../support/agent_harness.ts";
import { ScriptedAgent } from "../../support/scripted_agent.ts";
import { startWorkers, type TestWorker, type Workers } from "../../support/workers.ts";

const HOUR_MS = 3_600_000;
const TOOLS = { refund: { needs: "approval" }, twice: { isIdempotent: true }, once: {} } as const;
const SETTINGS = { approvalMs: 24 * HOUR_MS };

interface Place {
  workers: Workers;
  tools: ScriptedAgent;
  start(name: string): TestWorker;
}

function place(): Place {
  const workers = startWorkers();
  const tools = new ScriptedAgent(TOOLS);
  const start = (name: string): TestWorker => workers.start(name, { agent: tools, settings: SETTINGS });
  return { workers, tools, start };
}

/** A client whose question has made the model call this tool. */
async function askFor(worker: TestWorker, name: string): Promise<TestClient> {
  const client = await worker.connect("tools=true");
  const asked = worker.model.calls.length;
  client.ask("please", { id: "q" });
  await until(() => worker.model.calls.length > asked);
  worker.model.last.end({ calls: [{ id: "c", name, arguments: "{}" }] });
  await until(() => client.of("tool_call").length === 1);
  return client;
}

Deno.test("[TL4] [TO1] a turn that waits for a day survives any number of workers", async () => {
  const { workers, tools, start } = place();
  let worker = start("w0");
  let client = await askFor(worker, "refund");
  await until(() => client.of("approval_requested").length === 1);
  const { approval_id } = client.only("approval_requested");
  for (let hour = 1; hour < 24; hour++) {
    worker.kill();
    worker = start(`w${hour}`);
    client = await worker.connect(`tools=true&${client.resumeQuery(0)}`);
    await workers.pass(HOUR_MS);
    assert.deepEqual([tools.runs.length, worker.model.calls.length], [0, 0]);
    assert.equal(client.only("approval_requested").approval_id, approval_id);
  }
  // An idle session leaves its worker meanwhile, as any other.
  client = await worker.connect(`tools=true&${client.resumeQuery(0)}`);
  client.say({ type: "human_feedback", approval_id, verdict: "approve" });
  await until(() => tools.runs.length === 1);
  tools.last.end({ outcome: "ok", output: "done" });
  await until(() => worker.model.calls.length === 1);
  worker.model.last.finish("Refunded.");
  await until(() => client.of("response").length === 1);
  assert.equal(client.only("response").content, "Refunded.");
});

Deno.test("[TL7] a turn that nobody was there for ends its wait at the first worker that comes too late", async () => {
  const { workers, tools, start } = place();
  const first = start("a");
  const client = await askFor(first, "refund");
  await until(() => client.of("approval_requested").length === 1);
  first.kill();
  await workers.pass(25 * HOUR_MS);
  const second = start("b");
  const back = await second.connect(`tools=true&${client.resumeQuery(0)}`);
  await until(() => second.model.calls.length === 1);
  assert.equal(back.only("approval_decided").verdict, "expired");
  assert.equal(tools.runs.length, 0);
});

for (const [name, again, outcome] of [["twice", true, "ok"], ["once", false, "unknown"]] as const) {
  Deno.test(`[TL2] the worker dies while "${name}" runs: ${again ? "it runs again under the same key" : "nobody runs it again"}`, async () => {
    const { workers, tools, start } = place();
    const first = start("a");
    const client = await askFor(first, name);
    await until(() => tools.runs.length === 1);
    const { callId } = tools.last.call;
    first.kill();
    tools.last.end({ outcome: "ok", output: "the dead worker's" });
    const second = start("b");
    const back = await second.connect(`tools=true&${client.resumeQuery(0)}`);
    await workers.pass(6000);
    if (again) {
      await until(() => tools.runs.length === 2);
      assert.equal(tools.last.call.callId, callId);
      tools.last.end({ outcome: "ok", output: "the living one's" });
    }
    await until(() => second.model.calls.length === 1);
    assert.equal(tools.runs.length, again ? 2 : 1);
    const result = back.only("tool_result");
    assert.deepEqual([result.call_id, result.outcome], [callId, outcome]);
  });
}

Deno.test("[TL10] the worker dies while a call runs, and the turn is stopped: the result is unknown", async () => {
  const { workers, tools, start } = place();
  const first = start("a");
  const client = await askFor(first, "once");
  await until(() => tools.runs.length === 1);
  first.kill();
  const second = start("b");
  const back = await second.connect(`tools=true&${client.resumeQuery(0)}`);
  back.command("cancel", { id: "q" });
  await until(() => back.of("status", "cancelling").length > 0);
  await workers.pass(6000);
  await until(() => back.of("status", "cancelled").length > 0);
  const result = back.only("tool_result");
  assert.deepEqual([result.call_id, result.outcome], [tools.last.call.callId, "unknown"]);
  assert.ok(Number(result.seq) < Number(back.of("status", "cancelled")[0]?.seq));
});

Deno.test("[TL4] a thousand turns that wait take nothing of a worker once their clients have gone", async () => {
  const { workers, start } = place();
  const worker = start("a");
  const before = workers.clock.pending;
  for (let turn = 0; turn < 1000; turn++) {
    const client = await askFor(worker, "refund");
    await until(() => client.of("approval_requested").length === 1);
    client.vanish();
  }
  await workers.pass(HOUR_MS);
  await workers.pass(HOUR_MS);
  assert.equal(worker.server.count().sessions, 0);
  assert.equal(workers.clock.pending, before);
});

Deno.test("[TL4] [OP2] a turn that goes on after its wait was taken over from nobody", async () => {
  const { tools, start } = place();
  const worker = start("a");
  const client = await askFor(worker, "refund");
  await until(() => client.of("approval_requested").length === 1);
  client.say({
    type: "human_feedback",
    approval_id: client.only("approval_requested").approval_id,
    verdict: "approve",
  });
  await until(() => tools.runs.length === 1);
  assert.deepEqual(worker.logged.filter(({ event }) => event === "turn_taken_over"), []);
});

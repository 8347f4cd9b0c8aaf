/**
 * `delete` is confirmed when the session is removed from the store, and not before: whatever the store does, and
 * whichever other clients are connected.
 */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import { startAgent, type TestClient } from "../../support/agent_harness.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { inSteps, resumeAt, startTwoClients, startTwoWorkers } from "../../support/two_workers.ts";
import { startWorkers } from "../../support/workers.ts";

const DELETED = { code: 4009, reason: "Session deleted" };

function refusals(client: TestClient): unknown[] {
  return client.of("error").map(({ code, retryable, in_reply_to }) => [code, retryable, in_reply_to]);
}

Deno.test("[CM4] [CM5] a delete that the store refuses changes nothing, and can be made again", async () => {
  const { a, b, client, workers } = await startTwoWorkers({ asks: { q: "x" } });
  const second = await resumeAt(a, client);
  a.model.last.say("one ");
  a.isCutOff = true;
  client.command("delete", undefined, "d1");
  await settle();
  assert.deepEqual(refusals(client), [["store_unavailable", true, "d1"]]);
  assert.equal(client.of("status", "deleted").length, 0);
  assert.deepEqual([client.isOpen, second.isOpen, a.model.last.signal.aborted], [true, true, false]);
  a.isCutOff = false;
  a.model.last.finish("two");
  await settle();
  assert.equal(client.only("response").content, "one two");
  const third = await resumeAt(b, client, 0);
  assert.deepEqual(third.seqs, [1, 2]);
  client.command("delete", undefined, "d2");
  await settle();
  assert.equal(client.only("status", "deleted").in_reply_to, "d2");
  for (const seen of [client, second, third]) assert.deepEqual(seen.closed, DELETED);
  const again = await resumeAt(b, client, 0);
  assert.equal((again.welcome.resumed as { reason: string }).reason, "unknown_session");
  assert.equal((await workers.store.heads([client.sessionId])).size, 0);
});

Deno.test("[CM4] [CM5] while the store takes its time the session is as it was; then everyone is told", async () => {
  const { a, client, workers } = await startTwoWorkers({ asks: { q: "x" } });
  const second = await resumeAt(a, client);
  a.latencyMs = 1000;
  client.command("delete", undefined, "d");
  await inSteps(workers, 900);
  a.model.last.say("still here");
  assert.deepEqual([client.of("delta").length, second.of("delta").length], [1, 1]);
  assert.deepEqual([client.of("status", "deleted").length, client.isOpen], [0, true]);
  await inSteps(workers, 200);
  client.only("status", "deleted");
  assert.equal(second.of("status", "deleted").length, 0);
  assert.deepEqual([client.closed, second.closed], [DELETED, DELETED]);
  assert.ok(a.model.last.signal.aborted);
  assert.equal(a.server.count().sessions, 0);
});

Deno.test("[CM4] [CM5] a delete whose answer was lost is made again", async () => {
  const { a, client, workers } = await startTwoWorkers();
  a.losesAnswers = true;
  client.command("delete", undefined, "d1");
  await settle();
  assert.deepEqual(refusals(client), [["store_unavailable", true, "d1"]]);
  assert.ok(client.isOpen);
  a.losesAnswers = false;
  client.command("delete", undefined, "d2");
  await settle();
  assert.equal(client.only("status", "deleted").in_reply_to, "d2");
  assert.deepEqual(client.closed, DELETED);
  assert.equal((await workers.store.heads([client.sessionId])).size, 0);
});

Deno.test("[CM4] a session whose delete was lost ends as deleted with the next write, and nobody is told of trouble", async () => {
  const { a, client } = await startTwoWorkers({ asks: { q: "x" } });
  a.losesAnswers = true;
  client.command("delete", undefined, "d");
  await settle();
  a.losesAnswers = false;
  a.model.last.finish("answer");
  await settle();
  assert.deepEqual(client.closed, DELETED);
  assert.deepEqual(refusals(client), [["store_unavailable", true, "d"]]);
  assert.deepEqual(a.logged.filter(({ level }) => level === "error"), []);
});

Deno.test("[CM4] two connections that delete at once are both told", async () => {
  const { a, client, workers } = await startTwoWorkers();
  const second = await resumeAt(a, client);
  a.latencyMs = 100;
  client.command("delete", undefined, "d1");
  second.command("delete", undefined, "d2");
  client.command("delete", undefined, "d3");
  await inSteps(workers, 200);
  assert.deepEqual(client.of("status", "deleted").map(({ in_reply_to }) => in_reply_to), ["d1", "d3"]);
  assert.equal(second.only("status", "deleted").in_reply_to, "d2");
  assert.deepEqual([client.closed, second.closed], [DELETED, DELETED]);
});

Deno.test("[CM4] two connections whose delete is refused are both told, and stay", async () => {
  const { a, client, workers } = await startTwoWorkers();
  const second = await resumeAt(a, client);
  a.latencyMs = 100;
  client.command("delete", undefined, "d1");
  second.command("delete", undefined, "d2");
  await settle();
  a.isCutOff = true;
  await inSteps(workers, 200);
  assert.deepEqual([refusals(client), refusals(second)], [
    [["store_unavailable", true, "d1"]],
    [["store_unavailable", true, "d2"]],
  ]);
  assert.ok(client.isOpen && second.isOpen);
});

Deno.test("[CM4] writes that are on their way when the session is deleted bring no trouble", async () => {
  const { a, client, workers } = await startTwoWorkers({ asks: { q: "x" } });
  a.latencyMs = 100;
  a.model.last.finish("answer");
  client.ask("one more", { id: "r" });
  client.command("delete", undefined, "d");
  client.ask("and one more", { id: "s" });
  await inSteps(workers, 500);
  assert.equal(client.only("status", "deleted").in_reply_to, "d");
  assert.deepEqual(client.closed, DELETED);
  assert.equal(a.server.count().sessions, 0);
  assert.deepEqual(a.logged.filter(({ level }) => level === "error"), []);
  assert.ok(a.model.calls.every(({ signal }, index) => index === 0 || signal.aborted));
});

Deno.test("[CM4] [RS3] a session that was found just before it was deleted does not come back", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  a.verifier.admit("ann's", "ann");
  const client = await a.connect("jwt=ann's");
  a.latencyMs = 300;
  const late = a.dial(`jwt=ann's&${client.resumeQuery(0)}`);
  await inSteps(workers, 200);
  a.latencyMs = 20;
  client.command("delete", undefined, "d");
  await inSteps(workers, 50);
  assert.deepEqual(client.closed, DELETED);
  await inSteps(workers, 200);
  assert.notEqual(late.sessionId, client.sessionId);
  assert.equal((late.welcome.resumed as { reason: string }).reason, "unknown_session");
  assert.equal(a.server.count().sessions, 1);
});

Deno.test("[CM4] who comes into a session while it is being deleted is closed with it", async () => {
  const { a, client, workers } = await startTwoWorkers();
  a.latencyMs = 200;
  client.command("delete", undefined, "d");
  await inSteps(workers, 50);
  a.latencyMs = 0;
  const late = await resumeAt(a, client);
  await inSteps(workers, 200);
  assert.deepEqual([client.closed, late.closed], [DELETED, DELETED]);
});

Deno.test("[DU9] a delete at another worker ends the session here, a running turn and all", async () => {
  const { a, client, other } = await startTwoClients({ asks: { q: "x" } });
  other.command("delete", undefined, "d");
  await settle();
  assert.equal(other.only("status", "deleted").in_reply_to, "d");
  assert.deepEqual([client.closed, other.closed], [DELETED, DELETED]);
  assert.ok(a.model.last.signal.aborted);
  assert.deepEqual(client.of("error"), []);
});

Deno.test("[DU9] a connection whose replay finds the session deleted is closed as deleted", async () => {
  const workers = startWorkers();
  const [a, b] = [workers.start("a"), workers.start("b")];
  for (const worker of [a, b]) worker.verifier.admit("ann's", "ann");
  const client = await a.connect("jwt=ann's");
  workers.isRelayUp = false;
  client.ask("x", { id: "q" });
  await settle();
  b.latencyMs = 100;
  const late = b.dial(`jwt=ann's&${client.resumeQuery(0)}`);
  await inSteps(workers, 110);
  assert.equal(late.sessionId, client.sessionId);
  client.command("delete", undefined, "d");
  await settle();
  await inSteps(workers, 500);
  assert.deepEqual(late.closed, DELETED);
  assert.deepEqual(late.of("error"), []);
});

Deno.test("[LM6] an idle session that the memory store does not let go stays, and the next sweep tries again", async () => {
  const clock = new ManualClock();
  let isRefusing = true;
  class RefusingStore extends MemoryStore {
    override remove(sessionId: string): Promise<void> {
      if (!isRefusing) return super.remove(sessionId);
      return Promise.reject(
        new AgentError("store_unavailable", "Cannot reach the store", { retryable: true }),
      );
    }
  }
  const store = new RefusingStore({ clock, maxEvents: 1000 });
  const { connect, logged } = startAgent({ clock, store });
  const client = await connect();
  clock.advance(36 * 60_000);
  await settle();
  assert.ok(client.isOpen);
  assert.equal(client.of("notification", "session_timeout").length, 0);
  assert.ok(logged.some(({ event }) => event === "session_remove_failed"));
  isRefusing = false;
  clock.advance(300_000);
  await settle();
  client.only("notification", "session_timeout");
  assert.deepEqual(client.closed, { code: 1000, reason: "Session timeout" });
});

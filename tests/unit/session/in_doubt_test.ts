/** Writes in doubt: the store may still execute them after the worker gave them up. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { resumeAt, startTwoClients, startTwoWorkers } from "../../support/two_workers.ts";
import { LEASE_MS, type Workers } from "../../support/workers.ts";

/** A fence is tried again each second. */
const SETTLED_MS = 1100;

/** Lets time pass in steps, so that each call can be answered. */
async function passSlowly(workers: Workers, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) await workers.pass(100);
}

Deno.test("[DU5] a question that is done after it was given up is answered", async () => {
  const { workers, a, client, other } = await startTwoClients();
  // The query, and the first write that contains it.
  Object.assign(a, { lateWrites: 2, lateByMs: 50 });
  client.ask("count", { id: "q" });
  await settle();
  assert.equal(client.only("error").code, "store_unavailable");
  await passSlowly(workers, SETTLED_MS);
  a.model.last.finish("one");
  await settle();
  for (const seen of [client, other]) assert.equal(seen.only("response").content, "one");
});

Deno.test("[DU5] [DU8] a clearing that is done after it was given up is shown at every worker", async () => {
  const { workers, a, client, other } = await startTwoClients();
  Object.assign(a, { lateWrites: 2, lateByMs: 50 });
  client.command("clear", {}, "c");
  await settle();
  assert.equal(client.only("error").in_reply_to, "c");
  await passSlowly(workers, SETTLED_MS);
  for (const seen of [client, other]) assert.equal(seen.only("status", "cleared").seq, 1);
});

Deno.test("[DU5] what waits behind a fence that fails is refused, and never done", async () => {
  const { workers, a, client } = await startTwoWorkers();
  // The clear, and the fence behind it.
  Object.assign(a, { latencyMs: 100, lateWrites: 2, lateByMs: 300 });
  client.command("clear", {}, "1");
  await passSlowly(workers, 200);
  client.command("clear", {}, "2");
  await passSlowly(workers, 2 * SETTLED_MS);
  assert.deepEqual(client.of("error").map(({ in_reply_to }) => in_reply_to), ["1", "2"]);
  assert.equal(client.only("status", "cleared").in_reply_to, "1");
  const { lastSeq } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 1 });
  assert.deepEqual(client.seqs, [lastSeq]);
});

Deno.test("[DU5] [TO1] a fence goes on while the worker is being replaced", async () => {
  const { workers, a, client } = await startTwoWorkers({ asks: { q: "count" } });
  void a.server.drain("wall_clock");
  Object.assign(a, { lateWrites: 2, lateByMs: 50 });
  client.command("clear", {}, "c");
  await settle();
  await passSlowly(workers, SETTLED_MS);
  assert.equal(client.only("status", "cleared").seq, 2);
});

Deno.test("[DU8] a doorbell that rings while the store is away is answered when it is back", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  const other = await resumeAt(b, client);
  b.isCutOff = true;
  a.model.last.finish("one");
  await settle();
  b.isCutOff = false;
  await passSlowly(workers, SETTLED_MS);
  assert.equal(other.only("response").content, "one");
});

Deno.test("[DU8] what was missed while the sessions were asked for is asked for again", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  const other = await resumeAt(b, client);
  workers.isRelayUp = false;
  b.latencyMs = 100;
  b.server.pollHeads();
  await workers.pass(60);
  a.model.last.finish("one");
  await settle();
  // The relay is back: the answer to the first call does not contain the end.
  b.server.pollHeads();
  await passSlowly(workers, SETTLED_MS);
  assert.equal(other.only("response").content, "one");
});

Deno.test("[TO1] a lease that was claimed for turns which have ended is given up at once", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ stream: false, asks: { 1: "first" } });
  await resumeAt(b, client);
  workers.isRelayUp = false;
  a.model.last.finish("1!");
  await settle();
  // `b` has not learned about the end, and claims the lease.
  await workers.pass(LEASE_MS + 100);
  const { lease } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 1 });
  assert.deepEqual([lease.epoch, lease.holder], [2, "nobody"]);
});

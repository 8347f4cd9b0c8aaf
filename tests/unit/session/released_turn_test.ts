/** A turn that its worker has released: no client is shown anything more of it. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { readPlainly } from "../../support/plain_reader.ts";
import { resumeAt, startTwoClients, startTwoWorkers } from "../../support/two_workers.ts";
import { LEASE_MS } from "../../support/workers.ts";

/**
 * The same query at both workers. `a` has an answer before its query is in the log, and then reads the query of `b`.
 */
async function askTwice(): Promise<Awaited<ReturnType<typeof startTwoClients>>> {
  const two = await startTwoClients({ stream: true });
  const { a, client, other } = two;
  a.latencyMs = 700;
  client.ask("count", { id: "q" });
  await settle();
  // Only that write is slow.
  a.latencyMs = 0;
  a.model.last.finish("of nobody");
  await settle();
  other.ask("count", { id: "q" });
  await settle();
  return two;
}

Deno.test("[DL2] a worker whose question came second shows nothing after the end of the first", async () => {
  const { workers, b, client, other } = await askTwice();
  // It has another turn to run, so it keeps the lease.
  other.ask("and then?", { id: "r" });
  await settle();
  b.model.last.finish("one two");
  await settle();
  for (let ms = 0; ms < 2000; ms += 350) await workers.pass(350);
  for (const seen of [client, other]) {
    const end = seen.frames.findIndex(({ type }) => type === "response");
    assert.ok(end > 0);
    assert.deepEqual(seen.frames.slice(end + 1).filter(({ type }) => type === "delta"), []);
  }
});

Deno.test("[TO2] [RS6] the text of a turn that was given up is not announced to a newcomer", async () => {
  const { a, b, client } = await askTwice();
  b.model.last.say("one");
  await settle();
  const late = await resumeAt(a, client, 0);
  const { turn_id: turnId } = late.only("query");
  assert.deepEqual(late.of("delta").filter((delta) => delta.turn_id !== turnId), []);
});

Deno.test("[DL2] [TO5] two workers' texts of one turn are not mixed while it is not known which of them goes on", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one");
  await workers.pass(500);
  await resumeAt(b, client);
  // This worker only requests deltas.
  const c = workers.start("c");
  await resumeAt(c, client);
  for (const each of [a, b, c]) each.isCutOff = true;
  await workers.pass(LEASE_MS + 100);
  a.model.last.say(" zwei");
  // `b` claims the lease, and `a` does not know it yet.
  b.isCutOff = false;
  await workers.pass(1000);
  a.isCutOff = false;
  client.command("clear");
  await settle();
  b.model.last.say(" two");
  await settle();
  a.model.last.say(" drei");
  await settle();
  b.model.last.finish(" three");
  await settle();
  await workers.pass(1000);
  assert.deepEqual(readPlainly(client, 0, new Map()).faults, []);
  assert.equal(client.only("response").content, "one two three");
});

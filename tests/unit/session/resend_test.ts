/** Queries that are sent again after a resume: the answer comes after the replay, and gives the current state. */

import assert from "node:assert/strict";
import type { SeenFrame } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { readPlainly } from "../../support/plain_reader.ts";
import { startTwoClients, startTwoWorkers, type TwoWorkers } from "../../support/two_workers.ts";

/** Resumes at `b` from the beginning with a slow replay, and sends the queries again at once. */
async function resumeAndResend(
  { workers, b, client }: TwoWorkers,
  ids: readonly string[],
): Promise<SeenFrame[]> {
  b.latencyMs = 100;
  const later = b.dial(`stream=true&${client.resumeQuery(0)}`);
  for (const id of ids) later.ask(id, { id });
  // The resume token is hashed on another thread, which does not wait for this clock.
  for (let step = 0; step < 1000 && later.frames.length === 0; step++) await workers.pass(50);
  for (let ms = 0; ms < 1500; ms += 50) await workers.pass(50);
  b.latencyMs = 0;
  assert.deepEqual(readPlainly(later, 0, new Map()).faults, []);
  return later.frames;
}

Deno.test("[SQ3] [QU4] the answer to a query that is sent again comes after the replay", async () => {
  const two = await startTwoWorkers();
  const { a, client } = two;
  for (const id of ["1", "2", "3"]) {
    client.ask(id, { id });
    await settle();
    a.model.last.finish(`${id}!`);
    await settle();
  }
  client.ask("4", { id: "4" });
  await settle();
  const frames = await resumeAndResend(two, ["4", "2"]);
  // The end of 2 is in the replay; 4 is acknowledged again.
  assert.deepEqual(frames.flatMap(({ seq }) => seq ?? []), [1, 2, 3, 4, 5, 6, 7, 7]);
});

Deno.test("[QU4] [TO3] a query that another worker is answering is acknowledged as running", async () => {
  const two = await startTwoClients({ asks: { 1: "1", 2: "2" } });
  const { workers, other, b, client } = two;
  workers.isRelayUp = false;
  for (const seen of [other, await b.connect(client.resumeQuery(2))]) {
    const from = seen.frames.length;
    seen.ask("2", { id: "2" });
    seen.ask("1", { id: "1" });
    await settle();
    assert.deepEqual(
      seen.frames.slice(from).map(({ code, in_reply_to, data }) => [code, in_reply_to, data]),
      [["queued", "2", { position: 1 }], ["thinking", "1", undefined]],
    );
  }
});

Deno.test("[QU4] a query that has ended, sent again to a worker that has not read it yet, asks no model", async () => {
  const { workers, a, b, client, other } = await startTwoClients();
  workers.isRelayUp = false;
  client.ask("count", { id: "q" });
  await settle();
  a.model.last.finish("one");
  await settle();
  other.ask("count", { id: "q" });
  await settle();
  assert.equal(b.model.calls.length, 0);
  assert.equal(other.only("response").content, "one");
});

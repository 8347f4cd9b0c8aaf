/** A stop of a turn works from any worker, whether or not that worker knows the turn. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { startTwoClients, startTwoWorkers, type TwoWorkers } from "../../support/two_workers.ts";
import type { TestClient } from "../../support/agent_harness.ts";

/** Two clients at two workers; `b` does not learn about anything that is asked at `a`. */
async function startDeaf(ids: readonly string[]): Promise<TwoWorkers & { other: TestClient }> {
  const two = await startTwoClients();
  two.workers.isRelayUp = false;
  for (const id of ids) two.client.ask(id, { id });
  await settle();
  return two;
}

for (
  const [how, args, ids] of [["", {}, ["1"]], [" by id", { id: "2" }, ["2"]], [" all", { all: true }, [
    "1",
    "2",
  ]]] as const
) {
  Deno.test(`[TO3] [CM2] cancel${how} at a worker that has not heard of the turns stops them, and says which`, async () => {
    const { workers, a, client, other } = await startDeaf(["1", "2"]);
    other.command("cancel", args);
    await settle();
    assert.deepEqual(other.only("status", "cancelling").data, { ids });
    await workers.pass(1600);
    const ended = client.of("status", "cancelled").map(({ in_reply_to }) => in_reply_to);
    assert.deepEqual(ended.toSorted(), ids);
    assert.equal(a.model.calls[0]?.signal.aborted, how !== " by id");
  });
}

Deno.test("[TO3] [CM2] the second turn is the running one for every worker as soon as it runs", async () => {
  const { workers, a, client, other } = await startDeaf(["1", "2", "3"]);
  a.model.last.finish("1!");
  await settle();
  other.command("cancel");
  await settle();
  assert.deepEqual(other.only("status", "cancelling").data, { ids: ["2"] });
  await workers.pass(1600);
  assert.deepEqual(client.of("status", "cancelled").map(({ in_reply_to }) => in_reply_to), ["2"]);
});

Deno.test("[TO3] [QU6] interrupt at a worker that has not heard of the running turn ends it", async () => {
  const { workers, a, client, other } = await startDeaf(["1", "2"]);
  other.ask("now", { id: "3", policy: "interrupt" });
  await settle();
  await workers.pass(1600);
  assert.equal(client.only("status", "cancelled").in_reply_to, "1");
  assert.equal(client.only("status", "cancelled").reason, "interrupted");
  assert.equal(a.model.last.request.messages.at(-1)?.content, "now");
});

Deno.test("[TO3] [QU6] latest at a worker that has not heard of the turns ends those that wait, not the running one", async () => {
  const { workers, a, client, other } = await startDeaf(["1", "2"]);
  a.model.last.finish("1!");
  await settle();
  client.ask("3", { id: "3" });
  await settle();
  other.ask("4", { id: "4", policy: "latest" });
  await settle();
  await workers.pass(1600);
  assert.equal(client.only("status", "cancelled").in_reply_to, "3");
  assert.equal(a.model.last.signal.aborted, false);
});

Deno.test("[QU2] [TO3] a query that the log has as another turn is cancelled under that turn", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { 1: "first" } });
  const other = await b.connect(client.resumeQuery(0));
  workers.isRelayUp = false;
  other.ask("second", { id: "2" });
  await settle();
  a.latencyMs = 700;
  client.ask("second", { id: "2" });
  client.command("cancel", { id: "2" });
  a.latencyMs = 0;
  for (let ms = 0; ms < 3000; ms += 100) await workers.pass(100);
  const { events } = await workers.store.read(client.sessionId, { afterSeq: 0, limit: 10 });
  const asked = events.find((event) => event.kind === "query" && event.queryId === "2");
  const ended = events.find((event) => event.kind === "cancelled");
  assert.ok(asked?.kind === "query" && ended !== undefined);
  assert.equal(ended.turnId, asked.turnId);
});

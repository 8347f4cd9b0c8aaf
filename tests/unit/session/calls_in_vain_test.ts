/** How often the model is called for one query: once, whatever the client sends again, and to which worker. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { startTwoClients, startTwoWorkers } from "../../support/two_workers.ts";

Deno.test("[QU4] [DU2] a query that is sent again after a cut is asked of the model once", async () => {
  const { workers, a, b, client } = await startTwoWorkers();
  // The client is cut off before the answer to its write. It reconnects to another worker, which does not know the
  // query.
  workers.isRelayUp = false;
  a.latencyMs = 400;
  client.ask("count", { id: "q" });
  await workers.pass(100);
  client.vanish();
  b.latencyMs = 100;
  const later = b.dial(`stream=true&${client.resumeQuery(0)}`);
  later.ask("count", { id: "q" });
  for (let ms = 0; ms < 2000; ms += 50) await workers.pass(50);
  assert.deepEqual([a.model.calls.length, b.model.calls.length], [1, 0]);
  a.model.last.finish("one");
  workers.isRelayUp = true;
  b.server.pollHeads();
  for (let ms = 0; ms < 2000; ms += 50) await workers.pass(50);
  assert.equal(later.only("response").content, "one");
});

Deno.test("[QU4] [DU2] one id at once from clients of three workers is asked of the model once", async () => {
  const { workers, a, b, client, other } = await startTwoClients();
  const c = workers.start("c");
  const third = await c.connect(client.resumeQuery(0));
  for (const seen of [third, client, other]) seen.ask("count", { id: "q" });
  await settle();
  for (const { model } of [a, b, c]) for (const call of model.calls) call.finish("one");
  await settle();
  for (const seen of [client, other, third]) assert.equal(seen.of("response")[0]?.content, "one");
  const begun = [a, b, c].map(({ model }) => model.calls.length);
  const inVain = [a, b, c].map(({ metrics }) =>
    Number(/model_calls_in_vain_total (\d+)$/m.exec(metrics.render([]))?.[1])
  );
  // A worker that has had the session from its beginning calls the model at once. If the log has another query, that
  // call is wasted.
  assert.equal(begun.reduce((sum, n) => sum + n) - inVain.reduce((sum, n) => sum + n), 1);
  assert.ok(begun.reduce((sum, n) => sum + n) <= 2);
});

Deno.test("[QU1] a query that waits for the log starts with its answer, and is acknowledged as running", async () => {
  const { b, other } = await startTwoClients();
  other.ask("count", { id: "q" });
  assert.equal(b.model.calls.length, 0);
  await settle();
  assert.equal(b.model.calls.length, 1);
  assert.deepEqual(other.of("status").map(({ code, seq }) => [code, seq]), [["thinking", 1]]);
});

Deno.test("[LM5] [OP2] a call of the model that was begun in vain is aborted, counted and paid for", async () => {
  const { workers, a, b, client, other } = await startTwoClients({ stream: true });
  await workers.pass(30_000);
  client.ask("first", { id: "1" });
  other.ask("second", { id: "2" });
  b.model.last.say("too early");
  await settle();
  assert.equal(b.model.last.signal.aborted, true);
  assert.match(b.metrics.render([]), /model_calls_in_vain_total 1$/m);
  assert.match(a.metrics.render([]), /model_calls_in_vain_total 0$/m);
  assert.equal(b.logged.filter(({ event }) => event === "model_call_in_vain").length, 1);
});

/**
 * Every command is answered when its effect is certain: with a store that refuses, that is slow, or whose answer is
 * lost.
 */

import assert from "node:assert/strict";
import type { TestClient } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { inSteps, resumeAt, startTwoClients, startTwoWorkers } from "../../support/two_workers.ts";
import type { TestWorker } from "../../support/workers.ts";

function refused(client: TestClient): unknown[] {
  return client.of("error").map(({ code, in_reply_to }) => [code, in_reply_to]);
}

async function modelOf(worker: TestWorker, client: TestClient): Promise<unknown> {
  client.ask("with what?");
  await settle();
  const { models: [model], temperature } = worker.model.last.request;
  worker.model.last.finish("this");
  await settle();
  return [model, temperature];
}

Deno.test("[CM5] configure that the store refuses leaves in force what was", async () => {
  const { a, b, client } = await startTwoWorkers();
  client.command("configure", { temperature: 0.1 }, "c1");
  await settle();
  a.isCutOff = true;
  client.command("configure", { model: "test/other", temperature: 2, stream: false }, "c2");
  await settle();
  assert.deepEqual(refused(client), [["store_unavailable", "c2"]]);
  a.isCutOff = false;
  assert.deepEqual(await modelOf(a, client), ["test/model", 0.1]);
  assert.ok(client.of("delta").length > 0 || client.connection.wantsDeltas, "deltas were not switched off");
  client.command("configure", { max_tokens: 7 }, "c3");
  await settle();
  assert.deepEqual(client.of("status", "configured").at(-1)?.data, {
    model: "test/model",
    temperature: 0.1,
    max_tokens: 7,
    stream: true,
  });
  const other = await b.connect(client.resumeQuery(0));
  assert.deepEqual(await modelOf(b, other), ["test/model", 0.1]);
});

Deno.test("[CM5] configure is answered when the store has it; each of several keeps what the others set", async () => {
  const { a, client, workers } = await startTwoWorkers();
  a.latencyMs = 100;
  client.command("configure", { temperature: 0.1 }, "c1");
  client.command("configure", { model: "test/other" }, "c2");
  await inSteps(workers, 90);
  assert.equal(client.of("status", "configured").length, 0);
  await inSteps(workers, 300);
  assert.deepEqual(
    client.of("status", "configured").map(({ in_reply_to, data }) => [in_reply_to, data]),
    [
      ["c1", { model: "test/model", temperature: 0.1, max_tokens: 1500, stream: true }],
      ["c2", { model: "test/other", temperature: 0.1, max_tokens: 1500, stream: true }],
    ],
  );
});

Deno.test("[CM5] of two that are under way, the one that is refused leaves the other's", async () => {
  const { a, client, workers } = await startTwoWorkers();
  a.latencyMs = 100;
  client.command("configure", { temperature: 2 }, "c1");
  client.command("configure", { model: "test/other" }, "c2");
  a.isCutOff = true;
  await inSteps(workers, 60);
  a.isCutOff = false;
  await inSteps(workers, 300);
  assert.deepEqual(refused(client), [["store_unavailable", "c1"]]);
  assert.deepEqual(client.only("status", "configured").data, {
    model: "test/other",
    temperature: 0.7,
    max_tokens: 1500,
    stream: true,
  });
});

Deno.test("[CM5] [TO3] a cancel that the store does not hear of cancels nothing, and says so", async () => {
  const { a, b, client, other } = await startTwoClients({ asks: { q: "x", r: "y" } });
  for (const [id, args] of Object.entries({ c1: {}, c2: { id: "r" }, c3: { all: true } })) {
    b.isCutOff = true;
    other.command("cancel", args, id);
    await settle();
    b.isCutOff = false;
  }
  assert.deepEqual(refused(other), ["c1", "c2", "c3"].map((id) => ["store_unavailable", id]));
  assert.equal(other.of("status", "cancelling").length + other.of("status", "nothing_to_cancel").length, 0);
  assert.equal(a.model.last.signal.aborted, false);
  a.model.last.finish("x!");
  await settle();
  a.model.last.finish("y!");
  await settle();
  assert.deepEqual(client.of("response").map(({ content }) => content), ["x!", "y!"]);
});

Deno.test("[CM5] [TO3] a cancel at another worker is answered when the store has it; one whose answer was lost is made again", async () => {
  const { b, other, workers } = await startTwoClients({ asks: { q: "x" } });
  b.latencyMs = 1000;
  other.command("cancel", {}, "c1");
  await inSteps(workers, 400);
  assert.equal(other.of("status", "cancelling").length, 0);
  await inSteps(workers, 700);
  assert.deepEqual(other.only("status", "cancelling").data, { ids: ["q"] });
  const lost = await startTwoClients({ asks: { q: "x" } });
  lost.b.losesAnswers = true;
  lost.other.command("cancel", {}, "c1");
  await settle();
  assert.deepEqual(refused(lost.other), [["store_unavailable", "c1"]]);
  lost.b.losesAnswers = false;
  lost.other.command("cancel", {}, "c2");
  await settle();
  assert.deepEqual(lost.other.only("status", "cancelling").data, { ids: ["q"] });
});

Deno.test("[CM2] [CM5] nothing_to_cancel is said only where the log knows of nothing", async () => {
  const { a, b, client, workers } = await startTwoWorkers();
  const other = await b.connect(client.resumeQuery(0));
  workers.isRelayUp = false;
  client.ask("x", { id: "q" });
  await settle();
  other.command("cancel", { id: "q" }, "c1");
  await settle();
  assert.deepEqual(other.only("status", "cancelling").data, { ids: ["q"] });
  await inSteps(workers, 3000);
  assert.ok(a.model.last.signal.aborted, "found at the next checkpoint");
  other.command("cancel", {}, "c2");
  await settle();
  assert.equal(other.only("status", "nothing_to_cancel").in_reply_to, "c2");
});

Deno.test("[CM3] [CM5] clear is answered by its event, and one that the store refuses clears nothing", async () => {
  const { a, client, workers } = await startTwoWorkers({ asks: { q: "one" } });
  a.model.last.finish("re one");
  await settle();
  a.isCutOff = true;
  client.command("clear", undefined, "c1");
  await settle();
  assert.deepEqual(refused(client), [["store_unavailable", "c1"]]);
  a.isCutOff = false;
  client.ask("two");
  await settle();
  assert.ok(a.model.last.request.messages.some(({ content }) => content === "re one"));
  a.model.last.finish("re two");
  await settle();
  a.latencyMs = 100;
  client.command("clear", undefined, "c2");
  await inSteps(workers, 90);
  assert.equal(client.of("status", "cleared").length, 0);
  await inSteps(workers, 50);
  assert.equal(client.only("status", "cleared").in_reply_to, "c2");
});

Deno.test("[FB3] [CM5] a modify that the store refuses is not put before the model", async () => {
  const { a, client } = await startTwoWorkers({ asks: { q: "one" } });
  a.model.last.finish("1");
  await settle();
  a.isCutOff = true;
  client.say({ type: "human_feedback", verdict: "modify", content: "shorter", id: "f" });
  await settle();
  assert.deepEqual(refused(client), [["store_unavailable", "f"]]);
  a.isCutOff = false;
  client.ask("two");
  await settle();
  assert.equal(a.model.last.request.messages.at(-1)?.content, "two");
});

Deno.test("[FB3] [CM5] a modify whose answer was lost is put before the model once it is repeated", async () => {
  const { a, client } = await startTwoWorkers({ asks: { q: "one" } });
  a.model.last.finish("1");
  await settle();
  const say = async (): Promise<void> => {
    client.say({ type: "human_feedback", verdict: "modify", content: "shorter", id: "f" });
    await settle();
  };
  a.losesAnswers = true;
  await say();
  assert.deepEqual(refused(client), [["store_unavailable", "f"]]);
  a.losesAnswers = false;
  await say();
  await say();
  assert.deepEqual(client.of("status", "feedback_received").map(({ data }) => data), [
    { repeated: true },
    { repeated: true },
  ]);
  client.ask("two");
  await settle();
  assert.equal(
    a.model.last.request.messages.at(-1)?.content,
    "[Feedback on your earlier answer: shorter]\n\ntwo",
  );
});

Deno.test("[QU6] [CM5] a query that the store refuses displaces nothing", async () => {
  for (const policy of ["interrupt", "latest"]) {
    const { a, client, workers } = await startTwoWorkers({ asks: { q: "x", r: "y" } });
    a.model.onCall = (call) => queueMicrotask(() => call.finish("!"));
    a.isCutOff = true;
    client.ask("instead", { id: "s", policy });
    await settle();
    a.isCutOff = false;
    assert.deepEqual(refused(client).at(-1), ["store_unavailable", "s"]);
    // The turn still runs: the refused query was another one.
    a.model.calls[0]?.finish("!");
    await inSteps(workers, 8000);
    assert.equal(client.of("status", "cancelled").length, 0, policy);
    assert.deepEqual(client.of("response").map(({ in_reply_to }) => in_reply_to), ["q", "r"], policy);
  }
});

Deno.test("[DU6] a sign of life that the store has not heard is told again as soon as it can be reached", async () => {
  const { a, client, workers } = await startTwoWorkers();
  await workers.pass(299_000);
  client.command("ping");
  a.isCutOff = true;
  await inSteps(workers, 2000);
  assert.equal(a.logged.filter(({ event }) => event === "commit_in_doubt").length, 1);
  const commit = a.store.commit.bind(a.store);
  let heard = 0;
  a.store.commit = async (...write) => {
    const answer = await commit(...write);
    heard++;
    return answer;
  };
  await inSteps(workers, 2000);
  assert.equal(heard, 0);
  a.isCutOff = false;
  await inSteps(workers, 2000);
  assert.ok(heard > 0);
  const before = heard;
  await workers.pass(300_000);
  assert.equal(heard, before, "nothing has happened since");
});

Deno.test("[CM6] configure is shared: field by field, with every worker and every connection, also after a resume", async () => {
  const { a, b, client, other } = await startTwoClients();
  client.command("configure", { temperature: 0.1 }, "c1");
  await settle();
  other.command("configure", { model: "test/other" }, "c2");
  await settle();
  for (const seen of [client, other]) {
    const configured = seen.of("status", "configured");
    assert.deepEqual(configured.map(({ seq, in_reply_to }) => [seq, in_reply_to]), [[1, "c1"], [2, "c2"]]);
  }
  assert.deepEqual(await modelOf(a, client), ["test/other", 0.1]);
  assert.deepEqual(await modelOf(b, other), ["test/other", 0.1]);
  const later = await resumeAt(a, client, 0);
  assert.deepEqual(later.of("status", "configured").map(({ seq }) => seq), [1, 2]);
});

/** A session whose clients are at several live workers: queries and commands at one worker are known at the others. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { resumeAt, startTwoClients, startTwoWorkers } from "../../support/two_workers.ts";
import { startWorkers } from "../../support/workers.ts";

Deno.test("[TO5] deltas of another worker's answer are shown while it writes, from the start", async () => {
  const { a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one");
  const other = await resumeAt(b, client, 0);
  await settle();
  a.model.last.say(" two");
  await settle();
  const turnId = other.of("delta")[0]?.turn_id;
  assert.equal(other.textOf(turnId), "one two");
  const third = await resumeAt(b, client, 0);
  await settle();
  assert.equal(third.textOf(turnId), "one two");
  a.model.last.finish(" three");
  await settle();
  for (const seen of [other, third]) {
    assert.equal(seen.textOf(turnId), "one two three");
    assert.equal(seen.only("response").content, "one two three");
  }
});

Deno.test("[TO5] [DL3] a piece that comes after the end of its answer is nobody's", async () => {
  const { a, b, client, other } = await startTwoClients({ stream: true });
  client.ask("count", { id: "q" });
  await settle();
  a.model.last.finish("one two");
  await settle();
  const before = other.frames.length;
  const { turn_id: turnId } = other.only("response");
  b.server.receive(client.sessionId, {
    kind: "tail",
    epoch: 1,
    turnId: String(turnId),
    queryId: "q",
    offset: 0,
    content: "one",
  });
  await settle();
  assert.deepEqual(other.frames.slice(before), []);
});

Deno.test("[TO3] a query at one worker waits for the answer of another, and is run by it", async () => {
  const { a, b, client, other } = await startTwoClients({ asks: { 1: "first" } });
  other.ask("second", { id: "2" });
  await settle();
  assert.equal(other.of("status", "queued")[0]?.in_reply_to, "2");
  assert.equal(b.model.calls.length, 0);
  a.model.calls[0]?.finish("1!");
  await settle();
  assert.equal(a.model.calls.length, 2);
  a.model.calls[1]?.finish("2!");
  await settle();
  for (const seen of [client, other]) {
    assert.deepEqual(seen.of("response").map(({ content, seq }) => [content, seq]), [["1!", 3], ["2!", 4]]);
  }
});

Deno.test("[TO3] two workers that take a query at the same moment: one runs both", async () => {
  const { workers, a, b, client, other } = await startTwoClients({ stream: true });
  await workers.pass(30_000);
  client.ask("first", { id: "1" });
  other.ask("second", { id: "2" });
  assert.deepEqual([a.model.calls.length, b.model.calls.length], [1, 1], "nobody waits for the store");
  b.model.last.say("too early");
  await settle();
  assert.equal(b.model.last.signal.aborted, true);
  a.model.last.finish("1!");
  await settle();
  a.model.last.finish("2!");
  await settle();
  for (const seen of [client, other]) {
    assert.deepEqual(seen.of("response").map(({ in_reply_to, content }) => [in_reply_to, content]), [
      ["1", "1!"],
      ["2", "2!"],
    ]);
    for (const { turn_id, content } of seen.of("response")) {
      if (seen.of("delta").some((delta) => delta.turn_id === turn_id)) {
        assert.equal(seen.textOf(turn_id), content);
      }
    }
  }
});

Deno.test("[TO3] cancel at one worker stops the answer of another: at once, or at its next checkpoint", async () => {
  for (const isRelayUp of [true, false]) {
    const { workers, a, client, other } = await startTwoClients({ asks: { 1: "first" } });
    workers.isRelayUp = isRelayUp;
    a.model.last.say("so far");
    other.command("cancel", undefined, "c");
    await settle();
    assert.deepEqual(other.only("status", "cancelling").data, { ids: ["1"] });
    if (!isRelayUp) await workers.pass(500);
    assert.equal(a.model.last.signal.aborted, true);
    assert.deepEqual(client.only("status", "cancelled").partial, "so far");
  }
});

Deno.test("[TO3] queue policies hold across workers", async () => {
  const { a, client, other } = await startTwoClients({ asks: { 1: "first", 2: "second" } });
  other.ask("no", { id: "3", policy: "reject" });
  await settle();
  assert.equal(other.only("error").code, "busy");
  other.ask("latest", { id: "4", policy: "latest" });
  await settle();
  assert.deepEqual(
    client.of("status", "cancelled").map(({ in_reply_to, reason }) => [in_reply_to, reason]),
    [["2", "superseded"]],
  );
  other.ask("now", { id: "5", policy: "interrupt" });
  await settle();
  assert.deepEqual(
    client.of("status", "cancelled").map(({ in_reply_to, reason }) => [in_reply_to, reason]).at(-1),
    ["1", "interrupted"],
  );
  a.model.last.finish("5!");
  await settle();
  a.model.last.finish("4!");
  await settle();
  assert.deepEqual(other.of("response").map(({ in_reply_to }) => in_reply_to), ["5", "4"]);
});

Deno.test("[QU4] [DU2] the same id sent to another worker is the same query", async () => {
  const { a, b, other } = await startTwoClients({ asks: { 1: "first" } });
  other.ask("first", { id: "1" });
  await settle();
  a.model.last.finish("1!");
  await settle();
  other.ask("first", { id: "1" });
  other.ask("another", { id: "1" });
  await settle();
  assert.equal(a.model.calls.length + b.model.calls.length, 1);
  assert.deepEqual(other.of("response").map(({ replay }) => replay), [undefined, true]);
  assert.equal(other.only("error").code, "id_conflict");
});

Deno.test("[QU4] [DU2] an id from before all that a worker has read is still known", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const client = await a.connect();
  a.model.onCall = (call) => queueMicrotask(() => call.finish("!"));
  for (let n = 0; n < 200; n++) {
    client.ask(`question ${n}`, { id: `q${n}` });
    await settle();
  }
  const b = workers.start("b");
  const later = await resumeAt(b, client);
  later.ask("question 3", { id: "q3" });
  await settle();
  const replayed = later.of("response").filter(({ replay }) => replay === true);
  assert.deepEqual(replayed.map(({ seq, in_reply_to }) => [seq, in_reply_to]), [[8, "q3"]]);
  later.ask("something else", { id: "q4" });
  await settle();
  assert.equal(later.only("error").code, "id_conflict");
  const { events } = await workers.store.read(client.sessionId, { afterSeq: 400, limit: 10 });
  assert.deepEqual(events, []);
});

Deno.test("[DU8] without the relay the others catch up at the next head poll", async () => {
  const { workers, a, client, other } = await startTwoClients();
  workers.isRelayUp = false;
  client.ask("first", { id: "1" });
  await settle();
  a.model.last.finish("1!");
  await settle();
  assert.equal(other.of("response").length, 0);
  await workers.pass(15_000);
  assert.deepEqual(other.seqs, [1, 2]);
});

Deno.test("[CM4] [DU9] a session deleted at one worker is gone at the others", async () => {
  const { b, client, other } = await startTwoClients();
  client.command("delete");
  await settle();
  assert.equal(other.closed?.code, 4009);
  const later = await b.connect(client.resumeQuery(0));
  assert.equal((later.welcome.resumed as { reason: string }).reason, "unknown_session");
});

Deno.test("[RS6] [TO5] who comes is shown what another worker has written, also while a question here has no place yet", async () => {
  const { workers, a, b, client, other } = await startTwoClients({ stream: true });
  workers.isRelayUp = false;
  client.ask("first", { id: "1" });
  await settle();
  a.model.last.say("one");
  b.latencyMs = 10;
  other.ask("second", { id: "2" });
  await settle();
  b.latencyMs = 0;
  workers.isRelayUp = true;
  b.server.pollHeads();
  await settle();
  const third = await resumeAt(b, client, 0);
  await settle();
  a.model.last.say(" two");
  await settle();
  assert.equal(third.textOf(client.of("delta")[0]?.turn_id), "one two");
});

Deno.test("[FB3] a modify at one worker goes with the next query at another, and with that only", async () => {
  const { a, b, client, other } = await startTwoClients({ asks: { 1: "first" } });
  a.model.last.finish("1!");
  await settle();
  client.say({ type: "human_feedback", content: "shorter", verdict: "modify" });
  await settle();
  other.ask("second", { id: "2" });
  await settle();
  assert.match(b.model.last.request.messages.at(-1)?.content ?? "", /shorter[^]*second$/);
  b.model.last.finish("2!");
  await settle();
  client.ask("third", { id: "3" });
  await settle();
  assert.equal(a.model.last.request.messages.at(-1)?.content, "third");
});

Deno.test("[QU4] [DL3] a query that another worker had before is dropped when the log tells, not when its write is answered", async () => {
  const { workers, a, b, client, other } = await startTwoClients({ stream: true });
  await workers.pass(30_000);
  workers.isRelayUp = false;
  client.ask("first", { id: "1" });
  await settle();
  b.latencyMs = 10_000;
  other.ask("first", { id: "1" });
  await settle();
  b.latencyMs = 0;
  b.model.last.say("mine");
  workers.isRelayUp = true;
  a.model.last.finish("1!");
  await settle();
  assert.equal(other.only("response").content, "1!");
  assert.equal(b.model.last.signal.aborted, true);
  const before = other.frames.length;
  b.model.last.say(" goes on");
  await settle();
  assert.deepEqual(other.frames.slice(before), []);
  for (const ms of [5000, 5000]) await workers.pass(ms);
  assert.deepEqual(other.of("response").map(({ seq, replay }) => [seq, replay]), [[2, undefined]]);
});

Deno.test("[FB3] a modify that a repeated query has taken along goes with the next one", async () => {
  const { workers, a, b, client, other } = await startTwoClients();
  workers.isRelayUp = false;
  client.ask("first", { id: "1" });
  await settle();
  a.model.last.finish("1!");
  await settle();
  workers.isRelayUp = true;
  client.say({ type: "human_feedback", content: "shorter", verdict: "modify" });
  await settle();
  other.ask("first", { id: "1" });
  await settle();
  assert.equal(other.only("response").seq, 2);
  other.ask("second", { id: "2" });
  await settle();
  assert.match(b.model.last.request.messages.at(-1)?.content ?? "", /shorter[^]*second$/);
});

/** `?deltas=short`: deltas and reasoning without the ids that the client knows already. */

import assert from "node:assert/strict";
import { type SeenFrame, startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { startTwoWorkers } from "../../support/two_workers.ts";
import { LEASE_MS } from "../../support/workers.ts";

const PLAIN_FIELDS = ["type", "turn_id", "in_reply_to", "offset", "timestamp", "content"];
const NAMED_FIELDS = ["type", "ref", ...PLAIN_FIELDS.slice(1)];
const SHORT_FIELDS = ["type", "ref", "offset", "content"];

/** The deltas and the reasoning of a connection, oldest first. */
function piecesOf({ frames }: { frames: readonly SeenFrame[] }): SeenFrame[] {
  return frames.filter(({ type }) => type === "delta" || type === "reasoning");
}

/** The text of each turn, from deltas alone, as a client of this connection builds it. Fails at a `ref` without a turn. */
function textsOf(client: { frames: readonly SeenFrame[] }): Map<unknown, string> {
  const turns = new Map<unknown, unknown>();
  const texts = new Map<unknown, string>();
  for (const { type, ref, turn_id, offset, content } of piecesOf(client)) {
    if (turn_id !== undefined) turns.set(ref, turn_id);
    assert.ok(turns.has(ref), `no frame has named ${ref}`);
    if (type === "reasoning") continue;
    const turn = turns.get(ref);
    texts.set(turn, (texts.get(turn) ?? "").slice(0, Number(offset)) + content);
  }
  return texts;
}

Deno.test("[DL5] the first delta of a turn has its ids and a ref, the others have the ref alone", async () => {
  const { connect, model } = startAgent();
  const client = await connect("stream=true&deltas=short");
  for (const question of ["one", "two"]) {
    client.ask(question);
    await settle();
    for (const piece of ["a", "b", "c"]) model.last.say(piece);
    model.last.finish("d");
    await settle();
  }
  const deltas = piecesOf(client);
  assert.deepEqual(
    deltas.map((frame) => Object.keys(frame)),
    [NAMED_FIELDS, SHORT_FIELDS, SHORT_FIELDS, SHORT_FIELDS, NAMED_FIELDS, ...Array(3).fill(SHORT_FIELDS)],
  );
  const [first, second] = client.of("response");
  assert.equal(new Set(deltas.slice(0, 4).map(({ ref }) => ref)).size, 1);
  assert.notEqual(deltas[0]?.ref, deltas[4]?.ref);
  assert.deepEqual([...textsOf(client)], [[first?.turn_id, "abcd"], [second?.turn_id, "abcd"]]);
});

Deno.test("[DL5] a token of four characters takes at most 75 bytes, with the header of its WebSocket frame", async () => {
  const { connect, model } = startAgent();
  const client = await connect("stream=true&deltas=short");
  client.ask("x");
  await settle();
  for (let token = 0; token < 3000; token++) model.last.say(" the");
  const [longest = 0] = piecesOf(client).slice(1).map((frame) => JSON.stringify(frame).length).sort((a, b) =>
    b - a
  );
  assert.ok(longest + 2 <= 75, `${longest} characters`);
});

Deno.test("[DL5] text and reasoning of a turn have one ref, and are named once", async () => {
  const { connect, model } = startAgent();
  const client = await connect("stream=true&reasoning=true&deltas=short");
  client.ask("Why?");
  await settle();
  model.last.think("Let me ");
  model.last.say("Be");
  model.last.think("see.");
  model.last.finish("cause.");
  await settle();
  const pieces = piecesOf(client);
  assert.deepEqual(pieces.map(({ type }) => type), ["reasoning", "delta", "reasoning", "delta"]);
  assert.deepEqual(
    pieces.map((frame) => Object.keys(frame)),
    [NAMED_FIELDS, SHORT_FIELDS, SHORT_FIELDS, SHORT_FIELDS],
  );
  assert.equal(new Set(pieces.map(({ ref }) => ref)).size, 1);
});

Deno.test("[DL5] each connection gets the form that it asked for, from its own first delta on", async () => {
  const { connect, model } = startAgent();
  const plain = await connect("stream=true");
  const full = await connect(`stream=true&deltas=full&${plain.resumeQuery(0)}`);
  const short = await connect(`stream=true&deltas=short&${plain.resumeQuery(0)}`);
  plain.ask("x");
  await settle();
  model.last.say("one ");
  model.last.say("two ");
  const late = await connect(`stream=true&deltas=short&${plain.resumeQuery(0)}`);
  model.last.finish("three");
  await settle();
  for (const client of [plain, full]) {
    assert.deepEqual(piecesOf(client).map((frame) => Object.keys(frame)), Array(3).fill(PLAIN_FIELDS));
  }
  assert.deepEqual(piecesOf(short).map((frame) => Object.keys(frame)), [
    NAMED_FIELDS,
    SHORT_FIELDS,
    SHORT_FIELDS,
  ]);
  assert.deepEqual(piecesOf(late).map((frame) => Object.keys(frame)), [NAMED_FIELDS, SHORT_FIELDS]);
  const { turn_id: turnId } = plain.only("response");
  for (const client of [short, late]) assert.deepEqual([...textsOf(client)], [[turnId, "one two three"]]);
});

Deno.test("[DL5] deltas that were held back for a slow reader come in the right form", async () => {
  const { connect, model, clock } = startAgent();
  const client = await connect("stream=true&deltas=short");
  client.bufferedAmount = 20_000;
  client.ask("x");
  await settle();
  for (const piece of ["a", "b"]) model.last.say(piece);
  assert.deepEqual(piecesOf(client), []);
  client.bufferedAmount = 0;
  clock.advance(10);
  assert.deepEqual(piecesOf(client).map((frame) => Object.keys(frame)), [NAMED_FIELDS]);
  client.bufferedAmount = 20_000;
  for (const piece of ["c", "d"]) model.last.say(piece);
  client.bufferedAmount = 0;
  clock.advance(500);
  const [, held] = piecesOf(client);
  assert.deepEqual(Object.keys(held ?? {}), SHORT_FIELDS);
  assert.deepEqual([held?.offset, held?.content], [2, "cd"]);
});

Deno.test("[DL5] an answer that is complete before its question is in the log comes in one delta with ids", async () => {
  const { connect, model } = startAgent();
  const plain = await connect("stream=true");
  const client = await connect(`stream=true&deltas=short&${plain.resumeQuery(0)}`);
  plain.ask("x");
  model.last.finish("All at once.");
  await settle();
  assert.deepEqual(piecesOf(client).map((frame) => Object.keys(frame)), [NAMED_FIELDS]);
  assert.deepEqual(piecesOf(plain).map((frame) => Object.keys(frame)), [PLAIN_FIELDS]);
  assert.equal(textsOf(client).get(client.only("response").turn_id), "All at once.");
});

Deno.test("[DL5] [TO5] another worker's answer comes in short deltas, also when this worker takes it over", async () => {
  const { workers, a, b, client } = await startTwoWorkers({ asks: { q: "count" } });
  a.model.last.say("one");
  const other = await b.connect(`stream=true&deltas=short&${client.resumeQuery(0)}`);
  await settle();
  a.model.last.say(" two");
  await settle();
  a.kill();
  for (let passedMs = 0; passedMs < 2 * LEASE_MS; passedMs += 1000) await workers.pass(1000);
  b.model.last.finish("one two three");
  await settle();
  const pieces = piecesOf(other);
  assert.deepEqual(Object.keys(pieces[0] ?? {}), NAMED_FIELDS);
  assert.ok(pieces.length >= 3);
  for (const piece of pieces.slice(1)) assert.deepEqual(Object.keys(piece), SHORT_FIELDS);
  const { turn_id: turnId, content } = other.only("response");
  assert.deepEqual([...textsOf(other)], [[turnId, content]]);
});

Deno.test("[HS2] deltas is full or short", () => {
  const { dial } = startAgent();
  for (const value of ["", "true", "Short"]) {
    assert.throws(
      () => dial(`deltas=${value}`),
      (error: Error & { code?: string }) =>
        error.code === "invalid_frame" && error.message === 'Cannot connect: "deltas" must be full or short',
    );
  }
});

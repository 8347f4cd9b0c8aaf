/** Queries that replace earlier ones: what is sent, and what leaves the conversation. */

import assert from "node:assert/strict";
import { MemoryStorage, scriptedClient, type ScriptedSocket } from "../../support/scripted_sockets.ts";

const WHOLE = { recovered: true, from_seq: 1, to_seq: 0 };

/** Answers a query; its events have the numbers `seq` and `seq + 1`. */
function answer(socket: ScriptedSocket, id: string, seq: number): void {
  socket.status("thinking", id, { seq });
  socket.response(id, seq + 1, `${id}!`);
}

function frameOf(socket: ScriptedSocket, id: string): Record<string, unknown> {
  return socket.sent.find((frame) => frame.id === id) ?? assert.fail(`${id} was not sent`);
}

Deno.test("[CT19] a query that replaces another names it; what came from there on leaves when the server says so", async () => {
  const { client, events, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turns = ["a", "b", "c"].map((id) => client.query(id, { id }));
  answer(socket, "a", 1);
  answer(socket, "b", 3);
  socket.status("thinking", "c", { seq: 5 });
  socket.delta("c", 0, "Half");
  const edited = client.query("B", { id: "b2", replaces: "b" });
  assert.equal(frameOf(socket, "b2").replaces, "b");
  assert.deepEqual(client.turns.map(({ id }) => id), ["a", "b", "c", "b2"], "it may still be refused");
  const before = events.turn.length;
  socket.rewound("b2", "b", 6);
  assert.deepEqual(client.turns.map(({ id }) => id), ["a", "b2"]);
  assert.deepEqual(events.turn.slice(before).map(({ id, isSuperseded }) => [id, isSuperseded]), [
    ["b", true],
    ["c", true],
  ]);
  assert.deepEqual(turns.map(({ state, isSuperseded }) => [state, isSuperseded]), [
    ["completed", false],
    ["completed", true],
    ["cancelled", true],
  ]);
  assert.deepEqual(await turns[2]?.final, {
    text: "Half",
    outcome: "cancelled",
    finishReason: "superseded",
    turnId: "t-c",
  });
  answer(socket, "b2", 7);
  assert.equal((await edited.final).text, "b2!");
  assert.equal(client.session?.lastSeq, 8);
  // Late frames of what was replaced.
  socket.delta("c", 4, " of it");
  socket.status("cancelled", "c", { seq: 9, partial: "Half", reason: "superseded" });
  assert.deepEqual(client.turns.map(({ id }) => id), ["a", "b2"]);
  assert.deepEqual(events.error, []);
});

Deno.test("[CT19] a query that is refused replaces nothing", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  client.query("a", { id: "a" });
  answer(socket, "a", 1);
  const edited = client.query("A", { id: "a2", replaces: "a" });
  socket.error("queue_full", { in_reply_to: "a2", retryable: true });
  await assert.rejects(edited.final, { code: "queue_full" });
  // Next, the refused one is replaced: the server has never had it, so its aim is named.
  client.query("AA", { id: "a3", replaces: "a2" });
  assert.equal(frameOf(socket, "a3").replaces, "a");
  assert.deepEqual(client.turns.map(({ id }) => id), ["a", "a3"]);
});

Deno.test("[CT19] a query that the server does not know cannot be replaced: the question is asked without", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("A", { id: "a2", replaces: "old" });
  socket.error("unknown_query", { in_reply_to: "a2" });
  assert.deepEqual(socket.sent, [
    { type: "query", content: "A", id: "a2", replaces: "old" },
    { type: "query", content: "A", id: "a2" },
  ]);
  answer(socket, "a2", 1);
  assert.equal((await turn.final).text, "a2!");
});

Deno.test("[CT19] what was never sent is replaced without the server", async () => {
  const { client, welcomed } = scriptedClient();
  const first = client.query("a", { id: "a" });
  const second = client.query("b", { id: "b" });
  client.query("A", { id: "a2", replaces: "a" });
  assert.deepEqual(client.turns.map(({ id }) => id), ["a2"]);
  assert.deepEqual([(await first.final).finishReason, (await second.final).finishReason], [
    "superseded",
    "superseded",
  ]);
  const socket = await welcomed();
  assert.deepEqual(socket.asked, ["a2"]);
  assert.equal("replaces" in frameOf(socket, "a2"), false);
});

Deno.test("[CT19] a query that replaces does not wait for room: it makes some", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed({ limits: { max_queue: 1 } });
  client.query("a", { id: "a" });
  socket.status("thinking", "a", { seq: 1 });
  client.query("b", { id: "b" });
  assert.deepEqual(socket.asked, ["a"]);
  client.query("A", { id: "a2", replaces: "a" });
  assert.deepEqual(socket.asked, ["a", "a2"]);
});

Deno.test("[CT19] after a cut it is sent again after the query that it replaces, and with it", async () => {
  const storage = new MemoryStorage();
  const { client, welcomed, socket: next } = scriptedClient({ storage });
  const socket = await welcomed();
  client.query("a", { id: "a" });
  client.query("A", { id: "a2", replaces: "a" });
  assert.deepEqual(socket.asked, ["a", "a2"]);
  socket.end(1006);
  const again = await next();
  again.welcome({ resumed: WHOLE });
  assert.deepEqual(again.asked, ["a", "a2"]);
  assert.equal(frameOf(again, "a2").replaces, "a");

  const reloaded = await scriptedClient({ storage }).welcomed({ resumed: WHOLE });
  assert.equal(frameOf(reloaded, "a2").replaces, "a");
});

Deno.test("[CT19] [CT5] in a session that is new there is nothing to replace", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  client.query("a", { id: "a" });
  answer(socket, "a", 1);
  client.query("b", { id: "b", replaces: "a" });
  socket.end(1012);
  const fresh = await next();
  fresh.welcome({
    session_id: "s2",
    resumed: { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" },
  });
  assert.equal("replaces" in frameOf(fresh, "b"), false);
  answer(fresh, "b", 1);
  // Of the branch, the new session has only `b`.
  client.query("c", { id: "c", replaces: "a" });
  assert.equal(frameOf(fresh, "c").replaces, "b");
  assert.deepEqual(client.turns.map(({ id }) => id), ["b", "c"]);
});

Deno.test("[CT19] [CT12] a query that was asked again is replaced from its first id on", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("a", { id: "a" });
  socket.status("thinking", "a", { seq: 1 });
  socket.error("interrupted", { in_reply_to: "a", seq: 2, retryable: true });
  answer(socket, turn.id, 3);
  client.query("A", { id: "b", replaces: turn.id });
  assert.equal(frameOf(socket, "b").replaces, "a");
  socket.rewound("b", "a", 5);
  assert.deepEqual(client.turns.map(({ id }) => id), ["b"]);
});

Deno.test("[CT19] another tab's edit is seen by all, also where the replaced query was not", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const shown = (id: string, seq: number): void =>
    socket.say({ type: "query", content: id, timestamp: "", seq, id, turn_id: `t-${id}` });
  shown("a", 1);
  socket.response("a", 2, "a!");
  shown("b", 3);
  const own = client.query("c", { id: "c" });
  socket.status("queued", "c", { seq: 4, data: { position: 1 } });
  // `old` is from before this page, so all that the page has seen came after it.
  socket.rewound("x", "old", 5);
  assert.deepEqual([client.turns.length, own.state, own.isSuperseded], [0, "cancelled", true]);
  shown("x", 6);
  socket.status("cancelled", "c", { seq: 7, reason: "superseded" });
  shown("y", 8);
  // The event says where the replaced query was.
  socket.status("rewound", "z", { seq: 9, data: { query_id: "older", from_seq: 7 } });
  assert.deepEqual(client.turns.map(({ id }) => id), ["x"]);
  shown("z", 10);
  // A query is replaced that was superseded: the place where it was counts.
  socket.rewound("w", "y", 11);
  assert.deepEqual(client.turns.map(({ id }) => id), ["x"]);
});

Deno.test("[CT19] a replaced question that is asked again under its id gets the answer that the log has", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  client.query("a", { id: "a" });
  answer(socket, "a", 1);
  client.query("A", { id: "a2", replaces: "a" });
  socket.rewound("a2", "a", 3);
  const again = client.query("a", { id: "a" });
  socket.response("a", 2, "a!", { replay: true });
  assert.equal((await again.final).text, "a!");
});

Deno.test("[CT19] the replay of a whole session has only what was not replaced", async () => {
  const storage = new MemoryStorage();
  const before = scriptedClient({ storage });
  await before.welcomed();
  const { client, welcomed } = scriptedClient({ storage, replay: "all" });
  const socket = await welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 7 } });
  const shown = (id: string, seq: number): void => {
    socket.say({ type: "query", content: id, timestamp: "", seq, id, turn_id: `t-${id}` });
    socket.response(id, seq + 1, `${id}!`);
  };
  shown("a", 1);
  shown("b", 3);
  socket.rewound("a2", "a", 5);
  shown("a2", 6);
  assert.deepEqual(client.turns.map(({ id, text }) => [id, text]), [["a2", "a2!"]]);
});

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { MemoryStorage, scriptedClient } from "../../support/scripted_sockets.ts";

const KEY = "agent-websocket";

/** A user's token. Nothing checks its signature. */
function tokenOf(sub: string): string {
  return `e30.${btoa(JSON.stringify({ sub })).replaceAll("=", "")}.x`;
}

Deno.test("[CT17] [RS6] a page loaded anew in the middle of an answer has it again, and goes on", async () => {
  const storage = new MemoryStorage();
  const before = scriptedClient({ storage });
  const socket = await before.welcomed({ resume_token: "secret" });
  const done = before.client.query("answered");
  const running = before.client.query("running");
  const lost = before.client.query("lost");
  socket.status("thinking", done.id, { seq: 1 });
  socket.response(done.id, 2, "answer");
  socket.status("thinking", running.id, { seq: 3 });
  socket.delta(running.id, 0, "Once ");

  const after = scriptedClient({ storage });
  assert.deepEqual(after.client.turns.map(({ id, question }) => [id, question]), [
    [running.id, "running"],
    [lost.id, "lost"],
  ]);
  assert.equal(after.client.status, "idle");
  const again = await after.welcomed({ resumed: { recovered: true, from_seq: 4, to_seq: 3 } });
  assert.equal(again.url.searchParams.get("session_id"), "s1");
  assert.equal(again.url.searchParams.get("last_seq"), "3");
  assert.ok(again.protocols.includes("resume-secret"));
  // The page no longer knows which queries were accepted, but the server does.
  assert.deepEqual(again.asked, [running.id, lost.id]);
  again.delta(running.id, 0, "Once upon ");
  again.response(running.id, 4, "Once upon a time");
  assert.equal((await after.client.turns[0]?.final)?.text, "Once upon a time");
});

Deno.test("[CT17] with replay: all a new page is told the whole session", async () => {
  const storage = new MemoryStorage();
  const before = scriptedClient({ storage });
  const socket = await before.welcomed();
  const turn = before.client.query("Hello");
  socket.status("thinking", turn.id, { seq: 1 });
  socket.response(turn.id, 2, "Hi");
  const { client, welcomed, socket: next } = scriptedClient({ storage, replay: "all" });
  const again = await welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 2 } });
  assert.equal(again.url.searchParams.get("last_seq"), "0");
  again.say({ type: "query", content: "Hello", timestamp: "", seq: 1, id: turn.id, turn_id: "t" });
  again.response(turn.id, 2, "Hi");
  assert.deepEqual(client.turns.map(({ question, text }) => [question, text]), [["Hello", "Hi"]]);
  again.end(1006);
  assert.equal((await next()).url.searchParams.get("last_seq"), "2");
});

Deno.test("[CT17] turns are in the order of the session, also where a new page knows its own before the others", async () => {
  const storage = new MemoryStorage();
  const before = scriptedClient({ storage });
  const socket = await before.welcomed();
  const first = before.client.query("first");
  socket.status("thinking", first.id, { seq: 1 });
  socket.response(first.id, 2, "1!");
  const second = before.client.query("second");
  socket.status("thinking", second.id, { seq: 4 });
  const { client, welcomed } = scriptedClient({ storage, replay: "all" });
  const order = (): unknown[] => client.turns.map(({ question }) => question);
  const again = await welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 4 } });
  const shown = { type: "query", timestamp: "", turn_id: "t" };
  again.say({ ...shown, content: "first", seq: 1, id: first.id });
  again.response(first.id, 2, "1!");
  again.say({ ...shown, content: "another tab's", seq: 3, id: "x" });
  again.say({ ...shown, content: "second", seq: 4, id: second.id });
  assert.deepEqual(order(), ["first", "another tab's", "second"]);
  client.query("third", { id: "y" });
  again.end(1006);
  const fresh = await welcomed({
    session_id: "s2",
    resumed: { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" },
  });
  fresh.status("thinking", second.id, { seq: 1 });
  assert.deepEqual(order(), ["first", "another tab's", "second", "third"]);
});

Deno.test("[CT17] another user does not inherit the session, nor the questions", async () => {
  const storage = new MemoryStorage();
  const before = scriptedClient({ storage, getToken: () => tokenOf("anna") });
  await before.welcomed();
  before.client.query("Anna's secret");
  const after = scriptedClient({ storage, getToken: () => tokenOf("ben") });
  const [inherited] = after.client.turns;
  const own = after.client.query("Ben's question", { id: "b1" });
  const socket = await after.welcomed({ session_id: "s2" });
  assert.equal(socket.url.searchParams.get("session_id"), null);
  assert.deepEqual(socket.asked, [own.id]);
  await assert.rejects(inherited?.final ?? Promise.resolve(), { code: "closed" });

  const same = scriptedClient({ storage, getToken: () => tokenOf("ben") });
  assert.equal((await same.welcomed()).url.searchParams.get("session_id"), "s2");
});

Deno.test("[CT17] closed by the caller, the session and what it took are kept; forgotten or deleted, nothing is", async () => {
  const storage = new MemoryStorage();
  const { client, welcomed } = scriptedClient({ storage });
  const socket = await welcomed();
  const taken = client.query("taken");
  client.query("not taken");
  socket.status("thinking", taken.id, { seq: 1 });
  client.close();
  const after = scriptedClient({ storage });
  assert.deepEqual(after.client.turns.map(({ id }) => id), [taken.id]);
  after.client.close({ forget: true });
  assert.equal(storage.getItem(KEY), null);

  const deleted = scriptedClient({ storage, storageKey: "other" });
  const connected = await deleted.welcomed();
  assert.ok(storage.getItem("other") !== null);
  connected.end(4009);
  assert.equal(storage.getItem("other"), null);
});

Deno.test("[CT17] a query that was cancelled before it was sent is not asked after a reload", async () => {
  const storage = new MemoryStorage();
  const { client, welcomed } = scriptedClient({ storage });
  (await welcomed()).end(1006);
  client.query("never mind").cancel();
  assert.deepEqual(scriptedClient({ storage }).client.turns, []);
});

const RUNNING = { recovered: true, from_seq: 2, to_seq: 1 };

/** A page that was left while its question was being answered, and its storage. */
async function left(): Promise<{ storage: MemoryStorage; id: string }> {
  const storage = new MemoryStorage();
  const { client, welcomed } = scriptedClient({ storage });
  const socket = await welcomed();
  const { id } = client.query("A story", { id: "story" });
  socket.status("thinking", id, { seq: 1 });
  return { storage, id };
}

Deno.test("[CT13] stop right after a reload, before the welcome: the server is told, and the answer ends as it says", async () => {
  const { storage, id } = await left();
  const { client, welcomed } = scriptedClient({ storage });
  const [turn] = client.turns;
  turn?.cancel();
  assert.equal(turn?.state, "waiting");
  const socket = await welcomed({ resumed: RUNNING });
  assert.deepEqual(socket.sent.map(({ content, args }) => [content, args]), [["cancel", { id }]]);
  socket.status("cancelled", id, { seq: 2, partial: "Once ", reason: "cancelled" });
  assert.deepEqual([turn?.state, turn?.text], ["cancelled", "Once "]);
});

Deno.test("[CT13] a stop that was not sent before the page was left again is sent by the next page", async () => {
  const { storage, id } = await left();
  scriptedClient({ storage }).client.turns[0]?.cancel();
  scriptedClient({ storage });
  const { welcomed } = scriptedClient({ storage });
  const socket = await welcomed({ resumed: RUNNING });
  assert.deepEqual(socket.sent.map(({ content, args }) => [content, args]), [["cancel", { id }]]);
});

Deno.test("[CT13] after a reload, there may be nothing to cancel: the replay says how the answer ended, or it was never asked", async () => {
  for (const isAnswered of [true, false]) {
    const { storage, id } = await left();
    const { client, clock, welcomed } = scriptedClient({ storage });
    const [turn] = client.turns;
    turn?.cancel();
    const socket = await welcomed({ resumed: { recovered: true, from_seq: 2, to_seq: isAnswered ? 2 : 1 } });
    socket.status("nothing_to_cancel", String(socket.sent[0]?.id));
    await settle();
    if (isAnswered) {
      assert.equal(turn?.state, "waiting", "the replay is not complete");
      socket.response(id, 2, "Once upon a time");
    }
    clock.advance(1000);
    assert.deepEqual(
      [turn?.state, turn?.text],
      isAnswered ? ["completed", "Once upon a time"] : ["cancelled", ""],
    );
    client.close();
  }
});

Deno.test("[CT17] storage that is full, forbidden or full of nonsense is no reason to fail", async () => {
  for (const text of ["", "nonsense", "null", "[]", "1", '{"sessionId":1}']) {
    const storage = new MemoryStorage();
    storage.setItem(KEY, text);
    const { welcomed } = scriptedClient({ storage });
    assert.equal((await welcomed()).url.searchParams.get("session_id"), null);
  }
  const forbidden = (): never => {
    throw new DOMException("denied", "SecurityError");
  };
  const { client, welcomed } = scriptedClient({
    storage: { getItem: forbidden, setItem: forbidden, removeItem: forbidden },
  });
  const socket = await welcomed();
  const turn = client.query("Hello");
  socket.response(turn.id, 1, "Hi");
  assert.equal((await turn.final).text, "Hi");
});

Deno.test("[CT17] a replay is stored when it is complete, and not with each of its events", async () => {
  const storage = new MemoryStorage();
  const { client, welcomed } = scriptedClient({ storage, replay: "all" });
  const socket = await welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 100 } });
  let writes = 0;
  const setItem = storage.setItem.bind(storage);
  storage.setItem = (key, value): void => {
    writes++;
    setItem(key, value);
  };
  for (let seq = 1; seq <= 100; seq += 2) {
    socket.say({ type: "query", content: "?", timestamp: "", seq, id: `q${seq}`, turn_id: `t-q${seq}` });
    socket.response(`q${seq}`, seq + 1, "!");
  }
  assert.equal(client.turns.length, 50);
  assert.equal(writes, 1);
  assert.equal(JSON.parse(storage.getItem(KEY) ?? "{}").lastSeq, 100);
});

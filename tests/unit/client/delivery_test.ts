import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient } from "../../support/scripted_sockets.ts";

const FRESH = { recovered: false, reason: "unknown_session", from_seq: 1, to_seq: 0 };

Deno.test("[CT1] [HS4] connects with the subprotocol, the token and the resume token, and nothing secret in the URL", async () => {
  const asked: string[] = [];
  const { welcomed, socket: next, client } = scriptedClient({
    getToken: (why) => {
      asked.push(why);
      return Promise.resolve(`token${asked.length}`);
    },
  });
  const socket = await welcomed({ resume_token: "secret" });
  assert.deepEqual(socket.protocols, ["agent-websocket.v1", "jwt-token1"]);
  assert.equal(
    socket.url.href,
    "wss://project.supabase.co/functions/v1/agent_websocket?stream=true&heartbeat=true&deltas=short",
  );
  client.query("Hello");
  socket.status("thinking", "q1", { seq: 1 });
  socket.end(1006);
  const again = await next();
  assert.deepEqual(again.protocols, ["agent-websocket.v1", "jwt-token2", "resume-secret"]);
  assert.equal(again.url.searchParams.get("session_id"), "s1");
  assert.equal(again.url.searchParams.get("last_seq"), "1");
  assert.ok(!/secret|token/.test(again.url.href));
  assert.deepEqual(asked, ["connect", "connect"]);
});

Deno.test("[CT2] [RS1] [SQ2] each event is told once, and the cursor never passes over one", async () => {
  const { client, events, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const push = (seq: number): object => ({
    type: "notification",
    content: `n${seq}`,
    timestamp: "",
    seq,
    id: `n${seq}`,
  });
  for (const seq of [1, 2, 2, 1]) socket.say({ ...push(seq) });
  // The answer to a query sent twice arrives before the replay.
  socket.say({ ...push(5) });
  assert.equal(client.session?.lastSeq, 2);
  socket.end(1006);
  const again = await next();
  assert.equal(again.url.searchParams.get("last_seq"), "2");
  again.welcome({ resumed: { recovered: true, from_seq: 3, to_seq: 5 } });
  for (const seq of [3, 4, 5]) again.say({ ...push(seq) });
  assert.deepEqual(events.notification.map(({ content }) => content), ["n1", "n2", "n3", "n4", "n5"]);
  assert.equal(client.session?.lastSeq, 5);
  assert.deepEqual(events.reconnected.map(({ resumed }) => resumed), [
    { recovered: true, from_seq: 3, to_seq: 5 },
  ]);
});

Deno.test("[CT4] [QU4] after a cut a query is sent again with its id if no event told that it was taken, and only then", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const taken = client.query("first");
  const heard = client.query("second");
  const lost = client.query("third");
  socket.status("thinking", taken.id, { seq: 1 });
  // Without a place in the log: the worker may have died before the query was logged.
  socket.status("queued", heard.id);
  socket.end(1006);
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 2, to_seq: 2 } });
  assert.deepEqual(again.asked, [heard.id, lost.id]);
  again.response(taken.id, 2, "the first answer");
  assert.equal((await taken.final).text, "the first answer");
  assert.deepEqual(again.asked, [heard.id, lost.id]);
});

Deno.test("[CT4] a query asked while there is no connection goes out with the next one, in order", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const before = [client.query("a"), client.query("b")];
  assert.equal(client.status, "connecting");
  const socket = await welcomed();
  assert.deepEqual(socket.asked, before.map(({ id }) => id));
  socket.end(1006);
  assert.equal(client.status, "reconnecting");
  const between = client.query("c");
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  assert.deepEqual(again.asked, [...before, between].map(({ id }) => id));
});

Deno.test("[CT5] [RS3] a session that is gone: a fresh one, told of, and all that has no answer is asked there", async () => {
  const { client, events, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed({ resume_token: "old" });
  const turn = client.query("Hello");
  socket.status("thinking", turn.id, { seq: 1 });
  socket.say({ type: "query", content: "theirs", timestamp: "", seq: 2, id: "x", turn_id: "t-x" });
  socket.end(1012);
  const again = await next();
  again.welcome({ session_id: "s2", resume_token: "new", resumed: FRESH });
  assert.deepEqual(again.asked, [turn.id]);
  assert.equal(events.reconnected[0]?.resumed?.reason, "unknown_session");
  assert.equal(client.session?.id, "s2");
  assert.equal(client.session?.lastSeq, 0);
  assert.equal(client.turns.find(({ id }) => id === "x")?.error?.code, "session_lost");
  again.status("thinking", turn.id, { seq: 1 });
  again.response(turn.id, 2, "Hi");
  assert.equal((await turn.final).text, "Hi");
  again.end(1006);
  const third = await next();
  assert.equal(third.url.searchParams.get("session_id"), "s2");
  assert.equal(third.url.searchParams.get("last_seq"), "2");
  assert.ok(third.protocols.includes("resume-new"));
});

for (const reason of ["gap", "cursor_ahead"]) {
  Deno.test(`[CT5] [RS2] [RS4] ${reason}: the cursor is the server's, and what has no answer is asked again by its id`, async () => {
    const { client, events, welcomed, socket: next } = scriptedClient();
    const socket = await welcomed();
    const turn = client.query("Hello");
    socket.status("thinking", turn.id, { seq: 1 });
    socket.end(3008);
    const again = await next();
    const resumed = { recovered: false, reason, from_seq: 40, to_seq: 60 };
    again.welcome({ resumed });
    assert.deepEqual(events.reconnected[0]?.resumed, resumed);
    assert.deepEqual(again.asked, [turn.id]);
    assert.equal(client.session?.lastSeq, 39);
    again.response(turn.id, 12, "Hi", { replay: true });
    assert.equal((await turn.final).text, "Hi");
    assert.equal(client.session?.lastSeq, 39);
  });
}

Deno.test("[FR10] a query that is refused fails with the server's code", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("  ");
  socket.error("content_required", { in_reply_to: turn.id });
  await assert.rejects(turn.final, { code: "content_required", retryable: false });
});

Deno.test("[CT12] [CL1] what the end of a worker interrupts is asked again under a new id, where another worker is", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello");
  const { id } = turn;
  socket.status("queued", id, { seq: 1, data: { position: 1 } });
  socket.error("interrupted", { in_reply_to: id, seq: 2, retryable: true });
  assert.notEqual(turn.id, id);
  assert.deepEqual(socket.asked, [id, turn.id]);
  socket.error("shutting_down", { in_reply_to: turn.id, retryable: true, retry_after_ms: 0 });
  socket.end(1012);
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 3, to_seq: 2 } });
  assert.deepEqual(again.asked, [turn.id]);
  again.status("thinking", turn.id, { seq: 3 });
  again.response(turn.id, 4, "Hi");
  assert.equal((await turn.final).text, "Hi");
  assert.equal(client.turns.length, 1);
});

Deno.test("[CT12] three times, not more; never where the caller says so", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello");
  for (let seq = 1; seq <= 4; seq++) {
    socket.status("thinking", turn.id);
    socket.error("interrupted", { in_reply_to: turn.id, seq, retryable: true });
  }
  await assert.rejects(turn.final, { code: "interrupted" });
  assert.equal(socket.asked.length, 4);

  const proud = scriptedClient({ repeatInterrupted: false });
  const other = await proud.welcomed();
  const failed = proud.client.query("Hello");
  other.error("interrupted", { in_reply_to: failed.id, seq: 1, retryable: true });
  await assert.rejects(failed.final, { code: "interrupted" });
});

Deno.test("[CT12] an answer that no worker lives long enough for is not asked again", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Think hard");
  socket.status("thinking", turn.id, { seq: 1 });
  socket.error("interrupted", { in_reply_to: turn.id, seq: 2, retryable: false });
  await assert.rejects(turn.final, { code: "interrupted", retryable: false });
  assert.equal(socket.asked.length, 1);
});

Deno.test("[CT4] a query that is never answered, on ten connections, is given up", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  let socket = await welcomed();
  const turn = client.query("poison");
  for (let connection = 1; connection <= 10; connection++) {
    assert.deepEqual(socket.asked, [turn.id]);
    socket.end(1006);
    socket = await next();
    socket.welcome({ resumed: FRESH });
  }
  await assert.rejects(turn.final, { code: "undeliverable" });
  assert.deepEqual(socket.asked, []);
});

Deno.test("[CT15] [FR7] frames and fields that are not known do no harm; what is no frame is told of", async () => {
  const { client, events, welcomed } = scriptedClient();
  const socket = await welcomed({ novelty: true });
  const turn = client.query("Hello");
  for (const text of ["no json", "null", "[]", '"text"']) socket.say(text);
  assert.deepEqual(events.error.map(({ code }) => code), Array(4).fill("bad_frame"));
  socket.say({ type: "novelty", content: "?", in_reply_to: turn.id });
  socket.response(turn.id, 2, "Hi", { novelty: [1] });
  assert.equal((await turn.final).text, "Hi");
  assert.equal(client.status, "open");
});

Deno.test("a listener that throws is in nobody's way", async () => {
  const { client, welcomed } = scriptedClient();
  const thrown: unknown[] = [];
  const onError = (event: ErrorEvent): void => {
    event.preventDefault();
    thrown.push(event.error);
  };
  globalThis.addEventListener("error", onError);
  client.on("message", () => {
    throw new Error("a listener's bug");
  });
  let heard = 0;
  const end = client.on("message", () => heard++);
  const socket = await welcomed();
  socket.status("help", "none");
  end();
  socket.status("help", "none");
  await settle();
  globalThis.removeEventListener("error", onError);
  assert.equal(heard, 1);
  assert.equal(thrown.length, 2);
});

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
    "wss://project.supabase.co/functions/v1/agent_websocket?stream=true&heartbeat=true",
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
  // The answer to a query sent twice overtakes the replay.
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
  // Without a place in the log: the worker may have died before it had one.
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

Deno.test("[CT10] no more under way than the server has room for, and in order", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed({ limits: { max_queue: 3 } });
  const turns = Array.from({ length: 6 }, (_, at) => client.query(`question ${at}`));
  const ids = turns.map(({ id }) => id);
  assert.deepEqual(socket.asked, ids.slice(0, 3));
  socket.status("thinking", ids[0] ?? "", { seq: 1 });
  assert.deepEqual(socket.asked, ids.slice(0, 3));
  socket.response(ids[0] ?? "", 2, "answer");
  assert.deepEqual(socket.asked, ids.slice(0, 4));
  const urgent = client.query("now", { policy: "interrupt" });
  assert.deepEqual(socket.asked, [...ids.slice(0, 4), urgent.id]);
});

Deno.test("[CT10] at most eight queries are under way that the server has not taken", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  for (let at = 0; at < 12; at++) client.query(`question ${at}`);
  assert.equal(socket.asked.length, 8);
  socket.status("thinking", "q1", { seq: 1 });
  assert.equal(socket.asked.length, 9);
});

Deno.test("[CT10] more than maxQueued fail at once, and are no part of the conversation", async () => {
  const { client } = scriptedClient({ maxQueued: 2 });
  client.query("a");
  client.query("b");
  const third = client.query("c");
  await assert.rejects(third.final, { code: "too_many_queued", retryable: true });
  await assert.rejects(async () => {
    for await (const _ of third);
  }, { code: "too_many_queued" });
  assert.equal(client.turns.length, 2);
  client.close();
});

Deno.test("[CT10] [LM1] the rate limit is waited out, and nothing is sent meanwhile", async () => {
  const { client, clock, welcomed } = scriptedClient({ jitter: 0 });
  const socket = await welcomed();
  const [first, second] = [client.query("a"), client.query("b")];
  socket.error("rate_limited", { in_reply_to: first.id, retryable: true, retry_after_ms: 3000 });
  socket.status("thinking", second.id, { seq: 1 });
  client.query("c");
  clock.advance(2999);
  assert.deepEqual(socket.asked, ["q1", "q2"]);
  clock.advance(1);
  assert.deepEqual(socket.asked, ["q1", "q2", "q1", "q3"]);
});

Deno.test("[CT10] [FR9] a query that is too large fails here: the server's refusal could not name it", async () => {
  const { client, welcomed } = scriptedClient();
  const early = client.query("ä".repeat(100));
  const socket = await welcomed({ limits: { max_message_bytes: 200 } });
  await assert.rejects(early.final, { code: "message_too_large" });
  const fits = client.query("small");
  assert.deepEqual(socket.asked, [fits.id]);
});

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

Deno.test("[CT13] [QU10] cancel goes by id, again after a reconnect, and ends the turn when the server says so", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("a story");
  socket.status("thinking", turn.id, { seq: 1 });
  socket.delta(turn.id, 0, "Once");
  turn.cancel();
  turn.cancel();
  assert.deepEqual(socket.sent.at(-1)?.args, { id: turn.id });
  assert.deepEqual(socket.commands, ["cancel"]);
  socket.end(1006);
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 2, to_seq: 1 } });
  assert.deepEqual(again.commands, ["cancel"]);
  again.status("cancelling", String(again.sent.at(-1)?.id));
  again.status("cancelled", turn.id, { seq: 2, partial: "Once upon", reason: "cancelled" });
  assert.deepEqual(await turn.final, {
    text: "Once upon",
    outcome: "cancelled",
    finishReason: "cancelled",
    turnId: "t-q1",
  });
  assert.equal(turn.text, "Once upon");
});

Deno.test("[CT13] a query that never reached the server is cancelled without it", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const unsent = client.query("never sent");
  unsent.cancel();
  assert.equal((await unsent.final).outcome, "cancelled");
  const socket = await welcomed();
  assert.deepEqual(socket.sent, []);
  const lost = client.query("lost on the way");
  socket.end(1006);
  lost.cancel();
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  assert.deepEqual(again.asked, []);
  again.status("nothing_to_cancel", String(again.sent.at(-1)?.id));
  assert.equal((await lost.final).outcome, "cancelled");
});

Deno.test("[CT14] [CM1] commands: answered by their id; repeated after a cut only where that does no harm", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const history = client.command("history", { limit: 5 });
  const clear = client.command("clear");
  const wrong = client.command("configure", { temperature: 9 });
  assert.deepEqual(socket.sent[0], { type: "command", content: "history", id: "q1", args: { limit: 5 } });
  socket.error("invalid_args", { in_reply_to: "q3" });
  await assert.rejects(wrong, { code: "invalid_args" });
  socket.end(1006);
  await assert.rejects(clear, { code: "connection_lost" });
  const feedback = client.feedback({ rating: 1, turn_id: "t" });
  const again = await next();
  again.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  assert.deepEqual(again.sent.map(({ type, id }) => [type, id]), [["command", "q1"], [
    "human_feedback",
    "q4",
  ]]);
  again.status("history", "q1", { data: { messages: [] } });
  assert.deepEqual((await history).data, { messages: [] });
  again.end(1006);
  const third = await next();
  third.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  assert.deepEqual(third.sent.map(({ id }) => id), ["q4"]);
  third.status("feedback_received", "q4", { turn_id: "t", data: { repeated: true } });
  assert.equal((await feedback).code, "feedback_received");
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

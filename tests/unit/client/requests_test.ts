import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient } from "../../support/scripted_sockets.ts";

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

Deno.test("[CT18] [DU5] a store that is away ends nothing: what it has is waited for, what it has not is sent again", async () => {
  const { client, clock, welcomed } = scriptedClient({ jitter: 0 });
  const socket = await welcomed();
  const [taken, lost] = [client.query("a"), client.query("b")];
  socket.status("thinking", taken.id, { seq: 1 });
  for (const { id } of [taken, lost]) socket.error("store_unavailable", { in_reply_to: id, retryable: true });
  clock.advance(1000);
  assert.deepEqual(socket.asked, ["q1", "q2", "q2"]);
  assert.deepEqual([taken.state, lost.state], ["running", "waiting"]);
});

Deno.test("[CT10] [FR9] a query that is too large fails here: the server's refusal could not name it", async () => {
  const { client, welcomed } = scriptedClient();
  const early = client.query("ä".repeat(100));
  const socket = await welcomed({ limits: { max_message_bytes: 200 } });
  await assert.rejects(early.final, { code: "message_too_large" });
  const fits = client.query("small");
  assert.deepEqual(socket.asked, [fits.id]);
});

Deno.test("[QU13] an answer says how many messages the model was not given", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turns = [client.query("short"), client.query("long")];
  socket.response("q1", 2, "ok");
  socket.response("q2", 4, "ok", { data: { trimmed: 6 } });
  const answers = await Promise.all(turns.map(({ final }) => final));
  assert.deepEqual(answers.map(({ trimmed }) => trimmed), [undefined, 6]);
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
  const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12, estimated: true as const };
  again.status("cancelled", turn.id, { seq: 2, partial: "Once upon", reason: "cancelled", usage });
  assert.deepEqual(await turn.final, {
    text: "Once upon",
    outcome: "cancelled",
    finishReason: "cancelled",
    usage,
    turnId: "t-q1",
  });
  assert.equal(turn.text, "Once upon");
});

Deno.test("[CT13] [CM5] a cancel that the store refused is sent again", async () => {
  const { client, clock, welcomed } = scriptedClient({ jitter: 0 });
  const socket = await welcomed();
  const turn = client.query("a");
  socket.status("thinking", turn.id, { seq: 1 });
  turn.cancel();
  socket.error("store_unavailable", { in_reply_to: String(socket.sent.at(-1)?.id), retryable: true });
  await settle();
  clock.advance(1000);
  assert.deepEqual(socket.commands, ["cancel", "cancel"]);
  client.close();
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

Deno.test("[CV1] [CV5] conversations are listed, renamed, archived and deleted by their commands", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const sent = async (call: Promise<unknown>, data: Record<string, unknown>): Promise<unknown> => {
    const { id, type, ...frame } = socket.sent.at(-1) ?? {};
    assert.equal(type, "command");
    socket.status("done", String(id), { data });
    return [frame, await call];
  };
  const row = { session_id: "s", title: "Rome" };
  const listed = await sent(client.sessions({ search: "rome", limit: 5 }), { sessions: [row] });
  assert.deepEqual(listed, [{ content: "sessions", args: { limit: 5, search: "rome" } }, [row]]);
  // An empty search field is no search.
  const [all] = await sent(client.sessions({ search: " ", archived: true }), { sessions: [] }) as [unknown];
  assert.deepEqual(all, { content: "sessions", args: { archived: true } });
  const frames: [Promise<unknown>, unknown][] = [
    [client.rename("New"), { content: "rename", args: { title: "New" } }],
    [client.rename("New", { sessionId: "s" }), {
      content: "rename",
      args: { title: "New", session_id: "s" },
    }],
    [client.archive(), { content: "archive", args: { archived: true } }],
    [client.archive(false, { sessionId: "s" }), {
      content: "archive",
      args: { archived: false, session_id: "s" },
    }],
    [client.delete(), { content: "delete", args: {} }],
    [client.delete({ sessionId: "s" }), { content: "delete", args: { session_id: "s" } }],
  ];
  const seen = socket.sent.slice(-frames.length).map(({ id: _, type: __, ...frame }) => frame);
  assert.deepEqual(seen, frames.map(([, frame]) => frame));
  for (const { id } of socket.sent.slice(-frames.length)) socket.status("done", String(id), {});
  await Promise.all(frames.map(([call]) => call));
});

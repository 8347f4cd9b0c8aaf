import assert from "node:assert/strict";
import type { AgentClientError } from "../../../client/error.ts";
import type { Piece, Turn } from "../../../client/turn.ts";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient } from "../../support/scripted_sockets.ts";

async function pieces(turn: Turn): Promise<string[]> {
  const all: string[] = [];
  for await (const piece of turn) all.push(piece);
  return all;
}

Deno.test("[CT3] [DL2] [DL3] the text of a turn is right at every delta, merged, repeated or begun again", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello?");
  const whole = pieces(turn);
  const texts: string[] = [];
  client.on("turn", ({ text }) => texts.push(text));
  socket.status("thinking", turn.id, { seq: 1, turn_id: "t-q1" });
  assert.equal(turn.state, "running");
  socket.delta(turn.id, 0, "Hel");
  socket.delta(turn.id, 3, "lo wo");
  await settle();
  socket.delta(turn.id, 0, "Hello");
  socket.delta(turn.id, 5, " world");
  assert.deepEqual(texts, ["", "Hel", "Hello wo", "Hello", "Hello world"]);
  socket.response(turn.id, 2, "Hello world!");
  assert.equal((await turn.final).text, "Hello world!");
  assert.equal((await whole).join(""), "Hello world!");
  assert.equal(turn.turnId, "t-q1");
  assert.equal(turn.state, "completed");
});

Deno.test("[TO7] the end of a continued answer says how it was continued", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello?");
  const continued = { ways: ["prefill", "anchored"] };
  socket.response(turn.id, 2, "Hello world!", { continued });
  assert.deepEqual(await turn.final, {
    text: "Hello world!",
    outcome: "completed",
    finishReason: "stop",
    model: "m",
    continued,
    turnId: `t-${turn.id}`,
  });
});

Deno.test("[CT3] a delta that would leave a hole is left out, and the response says all", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello?");
  socket.delta(turn.id, 4, "hole");
  assert.equal(turn.text, "");
  socket.response(turn.id, 2, "no hole");
  assert.deepEqual(await pieces(turn), ["no hole"]);
});

Deno.test("[CT3] [RE2] reasoning is built by offset, apart from the text, and pieces give both in their order", async () => {
  const { client, welcomed } = scriptedClient({ reasoning: true });
  const socket = await welcomed();
  assert.equal(socket.url.searchParams.get("reasoning"), "true");
  const turn = client.query("Why?");
  const changes: string[] = [];
  client.on("turn", ({ reasoning, text, state }) => changes.push(`${state} ${reasoning}|${text}`));
  const all: Piece[] = [];
  const read = (async () => {
    for await (const piece of turn.pieces()) all.push(piece);
  })();
  socket.reasoning(turn.id, 0, "Let ");
  await settle();
  socket.reasoning(turn.id, 0, "Let me ");
  await settle();
  socket.delta(turn.id, 0, "Be");
  await settle();
  socket.reasoning(turn.id, 9, "a hole");
  socket.reasoning(turn.id, 7, "see.");
  await settle();
  assert.equal(changes.at(-1), "running Let me see.|Be");
  // Another worker goes on, and thinks anew.
  socket.reasoning(turn.id, 0, "Hm.");
  socket.response(turn.id, 2, "Because.");
  await read;
  assert.deepEqual(all.map(({ type, offset, text }) => [type, offset, text]), [
    ["reasoning", 0, "Let "],
    ["reasoning", 4, "me "],
    ["text", 0, "Be"],
    ["reasoning", 7, "see."],
    ["reasoning", 0, "Hm."],
    ["text", 2, "cause."],
  ]);
  assert.equal(turn.reasoning, "Hm.");
  assert.equal((await turn.final).text, "Because.");
  assert.deepEqual(await pieces(turn), ["Because."], "iterating gives the text only");
});

Deno.test("[RE1] a client asks for reasoning only with the option", async () => {
  const { welcomed } = scriptedClient();
  assert.equal((await welcomed()).url.searchParams.has("reasoning"), false);
});

Deno.test("[CT12] a query that is asked again begins without the reasoning of before", async () => {
  const { client, welcomed } = scriptedClient({ reasoning: true });
  const socket = await welcomed();
  const turn = client.query("Why?");
  socket.reasoning(turn.id, 0, "Let me see.");
  socket.error("interrupted", { in_reply_to: turn.id, seq: 2, retryable: true, partial: "" });
  assert.equal(turn.reasoning, "");
  socket.reasoning(turn.id, 0, "Again.");
  assert.equal(turn.reasoning, "Again.");
});

Deno.test("a slow reader of snapshots is given the newest text only, and an iterator all of it", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello?");
  const snapshots = turn.snapshots()[Symbol.asyncIterator]();
  socket.delta(turn.id, 0, "a");
  assert.deepEqual(await snapshots.next(), { value: "a", done: false });
  socket.delta(turn.id, 1, "b");
  socket.delta(turn.id, 2, "c");
  assert.deepEqual(await snapshots.next(), { value: "abc", done: false });
  socket.response(turn.id, 2, "abc");
  assert.deepEqual(await snapshots.next(), { value: undefined, done: true });
  assert.deepEqual(await pieces(turn), ["abc"]);
});

Deno.test("[MD1] a turn that fails tells why to whoever waits and whoever iterates, with what was written", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("Hello?");
  socket.delta(turn.id, 0, "Half ");
  socket.error("model_timeout", {
    in_reply_to: turn.id,
    seq: 2,
    retryable: true,
    retry_after_ms: 70,
    partial: "Half an",
  });
  const got: string[] = [];
  await assert.rejects(async () => {
    for await (const piece of turn) got.push(piece);
  }, { code: "model_timeout" });
  assert.deepEqual(got, ["Half an"]);
  const failed = await turn.final.catch((error: AgentClientError) => error) as AgentClientError;
  assert.equal(failed.retryable, true);
  assert.equal(failed.retryAfterMs, 70);
  assert.equal(failed.partial, "Half an");
  assert.equal(turn.error, failed);
});

Deno.test("[CT12] an answer begun anew goes on where it is the same, and says so where it is not", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  const same = client.query("one");
  const other = client.query("two");
  socket.status("thinking", same.id, { seq: 1 });
  socket.status("queued", other.id, { seq: 2, data: { position: 1 } });
  assert.equal(other.position, 1);
  const read = Promise.allSettled([pieces(same), pieces(other)]);
  socket.delta(same.id, 0, "Once upon");
  socket.delta(other.id, 0, "There was");
  await settle();
  socket.end(1006);
  const again = await next();
  again.welcome({
    session_id: "s2",
    resumed: { recovered: false, reason: "unknown_session", from_seq: 1, to_seq: 0 },
  });
  assert.deepEqual(again.asked, [same.id, other.id]);
  assert.deepEqual([same.text, same.state], ["", "waiting"]);
  again.delta(same.id, 0, "Once");
  again.response(same.id, 3, "Once upon a time");
  again.response(other.id, 4, "Once upon a time");
  const [first, second] = await read;
  assert.equal(first.status === "fulfilled" && first.value.join(""), "Once upon a time");
  assert.equal(second.status === "rejected" && second.reason.code, "text_restarted");
  assert.equal((await other.final).text, "Once upon a time");
});

Deno.test("[CT12] [CT3] pieces replace the text of an answer that begins again, also by a text that is shorter", async () => {
  for (
    const [text, expected] of [
      ["Once there was", [[0, "Once upon"], [0, "Once there was"]]],
      ["Once", [[0, "Once upon"], [0, "Once"]]],
      ["Once upon a time", [[0, "Once upon"], [9, " a time"]]],
    ] as const
  ) {
    const { client, welcomed } = scriptedClient();
    const socket = await welcomed();
    const turn = client.query("A story");
    const read = Array.fromAsync(turn.pieces());
    const iterated = pieces(turn).then((all) => all.join(""), ({ code }: AgentClientError) => code);
    socket.delta(turn.id, 0, "Once upon");
    await settle();
    socket.delta(turn.id, 0, "On");
    await settle();
    socket.delta(turn.id, 2, text.slice(2));
    await settle();
    socket.response(turn.id, 2, text);
    assert.deepEqual((await read).map(({ offset, text }) => [offset, text]), expected);
    assert.equal(await iterated, expected[1][0] === 0 ? "text_restarted" : text);
  }
});

Deno.test("[RS7] [QU1] turns of another tab are seen as they come, and after a reload with their text so far", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  socket.say({ type: "query", content: "theirs", timestamp: "", seq: 1, id: "x", turn_id: "t-x" });
  socket.delta("x", 0, "An ans");
  socket.delta("y", 0, "of one whose question we never saw");
  const [x, y] = client.turns;
  assert.deepEqual([x?.id, x?.isMine, x?.question, x?.state, x?.text], [
    "x",
    false,
    "theirs",
    "running",
    "An ans",
  ]);
  assert.deepEqual([y?.isMine, y?.question, y?.state], [false, undefined, "running"]);
  socket.response("x", 2, "An answer");
  assert.equal((await x?.final)?.text, "An answer");
});

Deno.test("only the newest turns are kept, and those that run", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const running = client.query("long");
  socket.status("thinking", running.id, { seq: 1 });
  for (let at = 0; at < 600; at++) socket.response(`x${at}`, at + 2, "answer");
  assert.equal(client.turns.length, 500);
  assert.equal(client.turns[0], running);
  assert.equal(client.turns.at(-1)?.id, "x599");
});

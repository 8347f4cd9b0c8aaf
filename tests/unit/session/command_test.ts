import assert from "node:assert/strict";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

Deno.test("[CM1] help, ping, status and sessions answer with the id of the command", async () => {
  const { connect, verifier, clock } = startAgent();
  verifier.admit("ann's", "ann");
  const earlier = await connect("jwt=ann's");
  clock.advance(1000);
  const client = await connect("jwt=ann's");
  for (const verb of ["help", "ping", "status", "sessions"]) client.command(verb, undefined, `id-${verb}`);
  await settle();
  const statuses = client.of("status");
  assert.deepEqual(statuses.map(({ code, in_reply_to }) => [code, in_reply_to]), [
    ["help", "id-help"],
    ["pong", "id-ping"],
    ["session_status", "id-status"],
    ["sessions", "id-sessions"],
  ]);
  assert.match(statuses[0]?.content ?? "", /cancel: Stops/);
  assert.deepEqual(statuses[2]?.data, {
    session_id: client.sessionId,
    state: "idle",
    running: null,
    queued: [],
    connections: 1,
    last_seq: 0,
    history_messages: 0,
    connection_id: client.welcome.connection_id,
    durable: false,
  });
  const { sessions } = statuses[3]?.data as { sessions: { session_id: string }[] };
  assert.deepEqual(sessions.map(({ session_id }) => session_id), [client.sessionId, earlier.sessionId]);
});

Deno.test("[CM1] an anonymous connection sees no session but its own", async () => {
  const { connect } = startAgent();
  await connect();
  const client = await connect();
  client.command("sessions");
  await settle();
  const { sessions } = client.only("status").data as { sessions: { session_id: string }[] };
  assert.deepEqual(sessions.map(({ session_id }) => session_id), [client.sessionId]);
});

Deno.test("[CM1] status tells what runs and what waits", async () => {
  const { connect } = startAgent();
  const client = await connect();
  client.ask("one", { id: "a" });
  client.ask("two", { id: "b", priority: "low" });
  client.ask("three", { id: "c" });
  client.command("status");
  await settle();
  const data = client.only("status", "session_status").data as Record<
    string,
    { id: string; position: number }[]
  >;
  assert.equal((data.running as unknown as { id: string }).id, "a");
  assert.deepEqual(data.queued?.map(({ id, position }) => [id, position]), [["c", 1], ["b", 2]]);
});

Deno.test("[CM1] history comes in pages, newest first, each in order", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  for (const content of ["one", "two", "three"]) {
    client.ask(content);
    await settle();
    model.last.finish(`re ${content}`);
    await settle();
  }
  client.command("history", { limit: 4 }, "h1");
  await settle();
  const first = client.only("status", "history").data as {
    messages: { content: string; role: string; seq: number }[];
    before_seq: number;
  };
  assert.deepEqual(first.messages.map(({ seq, role, content }) => [seq, role, content]), [
    [3, "user", "two"],
    [4, "assistant", "re two"],
    [5, "user", "three"],
    [6, "assistant", "re three"],
  ]);
  assert.equal(first.before_seq, 3);
  client.command("history", { limit: 4, before_seq: first.before_seq }, "h2");
  await settle();
  const second = client.of("status", "history")[1]?.data as {
    messages: { content: string }[];
    before_seq?: number;
  };
  assert.deepEqual(second.messages.map(({ content }) => content), ["one", "re one"]);
  assert.equal(second.before_seq, undefined);
});

Deno.test("[CM1] a page of history stays small enough to send", async () => {
  const { connect, model } = startAgent();
  model.onCall = (call) => call.finish("r".repeat(100_000));
  const client = await connect();
  for (let n = 0; n < 5; n++) {
    client.ask(String(n));
    await settle();
  }
  client.command("history", {}, "h");
  await settle();
  const page = client.only("status", "history").data as { messages: { seq: number }[]; before_seq: number };
  assert.deepEqual(page.messages.map(({ seq }) => seq), [7, 8, 9, 10]);
  assert.equal(page.before_seq, 7);
});

Deno.test("[CM1] configure answers with what is in force", async () => {
  const { connect } = startAgent();
  const client = await connect();
  client.command("configure", { temperature: 0.2, stream: true });
  await settle();
  assert.deepEqual(client.only("status", "configured").data, {
    model: "test/model",
    temperature: 0.2,
    max_tokens: 1500,
    stream: true,
  });
});

Deno.test("[CM2] cancel ends the running one, one by its id, or all", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  const ask = (...ids: string[]): void => ids.forEach((id) => client.ask(id, { id }));
  ask("a", "b", "c", "d");
  client.command("cancel", { id: "c" }, "x1");
  await settle();
  assert.deepEqual(client.only("status", "cancelling").data, { ids: ["c"] });
  client.command("cancel", {}, "x2");
  await settle();
  assert.equal(model.last.request.messages.at(-1)?.content, "b");
  client.command("cancel", { all: true }, "x3");
  await settle();
  assert.deepEqual(client.of("status", "cancelled").map(({ in_reply_to }) => in_reply_to), [
    "c",
    "a",
    "b",
    "d",
  ]);
  client.command("cancel", {}, "x4");
  client.command("cancel", { id: "a" }, "x5");
  await settle();
  assert.deepEqual(client.of("status", "nothing_to_cancel").map(({ in_reply_to }) => in_reply_to), [
    "x4",
    "x5",
  ]);
  assert.deepEqual(client.seqs, [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("[FR13] a misspelt argument cancels, clears and deletes nothing", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("one", { id: "a" });
  await settle();
  client.command("cancel", { query_id: "b" }, "x1");
  client.command("clear", { before_seq: 1 }, "x2");
  client.command("delete", { session: "another" }, "x3");
  client.say({ type: "command", content: "delete", session_id: "another", id: "x4" });
  await settle();
  assert.deepEqual(
    client.of("error", "invalid_args").map(({ in_reply_to }) => in_reply_to),
    ["x1", "x2", "x3", "x4"],
  );
  model.last.finish("1");
  await settle();
  assert.deepEqual([client.only("response").content, client.seqs, client.isOpen], ["1", [1, 2], true]);
});

Deno.test("[CM3] clear puts what was asked so far out of the model's sight, and is a durable event", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  const other = await connect(client.resumeQuery(0));
  client.ask("one");
  await settle();
  model.last.finish("re one");
  await settle();
  client.ask("two");
  await settle();
  client.command("clear", undefined, "c");
  await settle();
  model.last.finish("re two");
  await settle();
  client.ask("three");
  await settle();
  assert.deepEqual(model.last.request.messages.slice(1), [{ role: "user", content: "three" }]);
  for (const seen of [client, other]) {
    assert.deepEqual([seen.only("status", "cleared").seq, seen.only("status", "cleared").in_reply_to], [
      4,
      "c",
    ]);
  }
});

Deno.test("[CM4] delete ends the session for everyone, and it is as if it never was", async () => {
  const { connect, model, server } = startAgent();
  const client = await connect();
  const other = await connect(client.resumeQuery(0));
  client.ask("long");
  await settle();
  client.command("delete", undefined, "d");
  await settle();
  assert.equal(client.only("status", "deleted").in_reply_to, "d");
  assert.equal(model.last.signal.aborted, true);
  for (const seen of [client, other]) {
    assert.deepEqual(seen.closed, { code: 4009, reason: "Session deleted" });
  }
  assert.equal(other.of("error").length, 0);
  const again = await connect(client.resumeQuery(0));
  assert.equal((again.welcome.resumed as { reason: string }).reason, "unknown_session");
  assert.equal(server.count().sessions, 1);
});

Deno.test("[FB1] feedback means the last turn, or the one it names", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.say({ type: "human_feedback", rating: 1, id: "none yet" });
  await settle();
  assert.deepEqual([client.only("error").code, client.only("error").in_reply_to], [
    "unknown_turn",
    "none yet",
  ]);
  client.ask("one");
  await settle();
  model.last.finish("1");
  await settle();
  const turnId = client.only("response").turn_id;
  client.say({ type: "human_feedback", verdict: "approve", id: "f1" });
  client.say({ type: "human_feedback", rating: -1, turn_id: turnId, id: "f2" });
  client.say({ type: "human_feedback", rating: 1, turn_id: "nope", id: "f3" });
  await settle();
  assert.deepEqual(
    client.of("status", "feedback_received").map((frame) => [frame.in_reply_to, frame.turn_id, frame.data]),
    [
      ["f1", turnId, { repeated: false }],
      ["f2", turnId, { repeated: false }],
    ],
  );
  assert.deepEqual(client.of("error").at(-1)?.in_reply_to, "f3");
});

Deno.test("[FB2] [FB3] a modify is put before the model with the next query, once", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("one");
  await settle();
  model.last.finish("1");
  await settle();
  const say = (): void =>
    client.say({ type: "human_feedback", verdict: "modify", content: "shorter, please", id: "f" });
  say();
  say();
  await settle();
  assert.deepEqual(client.of("status", "feedback_received").map(({ data }) => data), [{ repeated: false }, {
    repeated: true,
  }]);
  client.ask("two");
  await settle();
  const asked = "[Feedback on your earlier answer: shorter, please]\n\ntwo";
  assert.equal(model.last.request.messages.at(-1)?.content, asked);
  model.last.finish("2");
  await settle();
  client.ask("three");
  await settle();
  assert.deepEqual(model.last.request.messages.slice(-3).map(({ content }) => content), [
    asked,
    "2",
    "three",
  ]);
});

Deno.test("[FB3] a modify whose query failed goes with the next one", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("one");
  await settle();
  model.last.finish("1");
  await settle();
  client.say({ type: "human_feedback", verdict: "modify", content: "shorter" });
  await settle();
  client.ask("two");
  await settle();
  client.command("cancel");
  await settle();
  client.ask("three");
  await settle();
  assert.match(model.last.request.messages.at(-1)?.content ?? "", /shorter.*three/s);
});

Deno.test("[FB4] an approval that nothing waits for is unknown", async () => {
  const { connect } = startAgent();
  const client = await connect();
  client.say({ type: "human_feedback", verdict: "approve", approval_id: "x", id: "f" });
  await settle();
  assert.equal(client.only("error").code, "unknown_approval");
});

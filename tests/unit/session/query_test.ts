import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { startAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

Deno.test("[QU1] [QU2] [QU3] a query is acknowledged, answered once, and given an id", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.say(JSON.stringify({ type: "query", content: "Hi", timestamp: "2023-01-01T00:00:00.000Z" }));
  await settle();
  const thinking = client.only("status");
  assert.equal(thinking.content, "Thinking...");
  assert.equal(thinking.code, "thinking");
  assert.equal(thinking.seq, 1);
  model.last.finish("Hello there.", {
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, cost: 0.01 },
  });
  await settle();
  const response = client.only("response");
  assert.equal(response.content, "Hello there.");
  assert.equal(response.seq, 2);
  assert.equal(response.finish_reason, "stop");
  assert.equal(response.model, "test/model");
  assert.equal(response.in_reply_to, thinking.in_reply_to);
  assert.equal(response.turn_id, thinking.turn_id);
  assert.deepEqual(response.usage, { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, cost: 0.01 });
  assert.deepEqual(client.frames.map(({ type }) => type), ["notification", "status", "response"]);
});

Deno.test("[QU1] [SQ1] [RS7] other connections get the query itself, and everyone the same order", async () => {
  const { connect, model } = startAgent();
  const asker = await connect();
  const other = await connect(asker.resumeQuery(0));
  asker.ask("one", { id: "a" });
  asker.ask("two", { id: "b" });
  await settle();
  const queued = asker.only("status", "queued");
  assert.deepEqual(queued.data, { position: 1 });
  assert.equal(queued.seq, 2);
  model.last.finish("1");
  await settle();
  model.last.finish("2");
  await settle();
  assert.deepEqual(other.of("query").map(({ content, seq, id }) => ({ content, seq, id })), [
    { content: "one", seq: 1, id: "a" },
    { content: "two", seq: 2, id: "b" },
  ]);
  assert.deepEqual(other.of("status", "thinking").map(({ in_reply_to, seq }) => [in_reply_to, seq]), [
    ["a", undefined],
    ["b", undefined],
  ]);
  assert.deepEqual(asker.of("status", "thinking").map(({ in_reply_to, seq }) => [in_reply_to, seq]), [
    ["a", 1],
    ["b", undefined],
  ]);
  assert.deepEqual(asker.seqs, [1, 2, 3, 4]);
  assert.deepEqual(other.seqs, [1, 2, 3, 4]);
});

Deno.test("[QU4] the same id is the same query, while it waits, while it runs, and after its end", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  const other = await connect(client.resumeQuery(0));
  client.ask("one", { id: "a" });
  client.ask("two", { id: "b" });
  await settle();
  client.ask("one", { id: "a" });
  client.ask("two", { id: "b" });
  await settle();
  assert.deepEqual(client.of("status").map(({ code, seq, in_reply_to }) => [code, seq, in_reply_to]), [
    ["thinking", 1, "a"],
    ["queued", 2, "b"],
    ["thinking", 1, "a"],
    ["queued", 2, "b"],
  ]);
  model.last.finish("1");
  await settle();
  model.last.finish("2");
  await settle();
  client.ask("one", { id: "a" });
  await settle();
  const [first, again] = client.of("response").filter(({ in_reply_to }) => in_reply_to === "a");
  assert.deepEqual(again, { ...first, replay: true });
  assert.equal(other.of("response").length, 2, "a repeat concerns the sender only");
  assert.equal(model.calls.length, 2);
});

Deno.test("[QU4] the same id with other content or options is a conflict", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("one", { id: "a" });
  client.ask("other", { id: "a" });
  client.ask("one", { id: "a", options: { temperature: 0 } });
  await settle();
  assert.deepEqual(client.of("error").map(({ code, in_reply_to }) => [code, in_reply_to]), [
    ["id_conflict", "a"],
    ["id_conflict", "a"],
  ]);
  assert.equal(model.calls.length, 1);
});

Deno.test("[QU4] an id is forgotten with its events", async () => {
  const { connect, model } = startAgent({ maxEvents: 4 });
  model.onCall = (call) => call.finish("ok");
  const client = await connect();
  for (const id of ["a", "b", "c"]) {
    client.ask("hi", { id });
    await settle();
  }
  client.ask("something else", { id: "a" });
  await settle();
  assert.equal(client.of("error").length, 0);
  assert.equal(model.calls.length, 4);
});

Deno.test("[QU5] lanes go by priority, and no lane starves", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("running");
  for (let n = 1; n <= 6; n++) client.ask(`high ${n}`, { priority: "high" });
  client.ask("low 1", { priority: "low" });
  client.ask("normal 1");
  await settle();
  const asked: (string | undefined)[] = [];
  while (model.calls.length > asked.length) {
    asked.push(model.last.request.messages.at(-1)?.content);
    model.last.finish("ok");
    await settle();
  }
  assert.deepEqual(asked, [
    "running",
    "high 1",
    "high 2",
    "high 3",
    "high 4",
    "normal 1",
    "low 1",
    "high 5",
    "high 6",
  ]);
});

Deno.test("[QU5] commands and feedback wait for no query", async () => {
  const { connect } = startAgent();
  const client = await connect();
  client.ask("running");
  client.command("ping", undefined, "p");
  client.say({ type: "human_feedback", rating: 1, id: "f" });
  await settle();
  assert.equal(client.only("status", "pong").in_reply_to, "p");
  assert.equal(client.only("status", "feedback_received").in_reply_to, "f");
});

Deno.test("[QU6] policy reject is refused while another runs, and taken when nothing does", async () => {
  const { connect, model } = startAgent({ settings: { queuePolicy: "reject" } });
  const client = await connect();
  client.ask("one");
  client.ask("two", { id: "b" });
  await settle();
  const busy = client.only("error");
  assert.deepEqual([busy.code, busy.in_reply_to, busy.retryable, busy.seq], ["busy", "b", true, undefined]);
  model.last.finish("1");
  await settle();
  client.ask("two", { id: "b" });
  await settle();
  assert.equal(model.calls.length, 2);
});

Deno.test("[QU6] policy interrupt ends the running turn and goes next", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("one", { id: "a" });
  client.ask("waiting", { id: "w", priority: "high" });
  await settle();
  model.last.say("So far");
  client.ask("now", { id: "b", policy: "interrupt", priority: "low" });
  await settle();
  const cancelled = client.only("status", "cancelled");
  assert.deepEqual([cancelled.in_reply_to, cancelled.reason, cancelled.partial], [
    "a",
    "interrupted",
    "So far",
  ]);
  assert.equal(model.calls[0]?.signal.aborted, true);
  assert.equal(model.last.request.messages.at(-1)?.content, "now");
});

Deno.test("[QU6] policy latest ends those that wait and lets the running one be", async () => {
  const { connect, model } = startAgent({ settings: { maxQueue: 2 } });
  const client = await connect();
  client.ask("one", { id: "a" });
  client.ask("two", { id: "b" });
  client.ask("three", { id: "c" });
  client.ask("four", { id: "d", policy: "latest" });
  await settle();
  assert.deepEqual(
    client.of("status", "cancelled").map((
      { in_reply_to, reason, partial },
    ) => [in_reply_to, reason, partial]),
    [
      ["b", "superseded", ""],
      ["c", "superseded", ""],
    ],
  );
  assert.equal(model.calls[0]?.signal.aborted, false);
  model.last.finish("1");
  await settle();
  assert.equal(model.last.request.messages.at(-1)?.content, "four");
});

Deno.test("[QU7] a full queue refuses, and the same id may be sent again", async () => {
  const { connect, model } = startAgent({ settings: { maxQueue: 1 } });
  const client = await connect();
  client.ask("one");
  client.ask("two");
  client.ask("three", { id: "c" });
  await settle();
  const full = client.only("error");
  assert.deepEqual([full.code, full.in_reply_to, full.retryable], ["queue_full", "c", true]);
  model.last.finish("1");
  await settle();
  client.ask("three", { id: "c" });
  await settle();
  assert.deepEqual(client.of("status", "queued").at(-1)?.in_reply_to, "c");
});

Deno.test("[QU8] options go before configure, and that before the operator's defaults", async () => {
  const { connect, model } = startAgent();
  model.onCall = (call) => call.finish("ok");
  const client = await connect();
  client.ask("defaults");
  await settle();
  client.command("configure", { temperature: 0.1, model: "test/other" });
  client.ask("configured");
  await settle();
  client.ask("own", { options: { temperature: 1, max_tokens: 7, model: "test/model" } });
  await settle();
  assert.deepEqual(
    model.calls.map(({ request: { models, temperature, maxTokens } }) => [models[0], temperature, maxTokens]),
    [
      ["test/model", 0.7, 1500],
      ["test/other", 0.1, 1500],
      ["test/model", 1, 7],
    ],
  );
});

Deno.test("[QU14] the reasoning effort of a query goes before configure, and that before the operator's", async () => {
  const { connect, model } = startAgent({ settings: { reasoningEffort: "low" } });
  model.onCall = (call) => call.finish("ok");
  const client = await connect();
  client.ask("the operator's");
  await settle();
  client.command("configure", { reasoning: { effort: "high" } });
  client.ask("configured");
  await settle();
  client.ask("own", { options: { reasoning: { effort: "none" } } });
  await settle();
  assert.deepEqual(model.calls.map(({ request }) => request.reasoningEffort), ["low", "high", "none"]);
  const { data } = client.only("status", "configured");
  assert.deepEqual((data as { reasoning: unknown }).reasoning, { effort: "high" });
});

Deno.test("[QU4] [QU14] the same id with another effort is another question", async () => {
  const { connect, model } = startAgent();
  model.onCall = (call) => call.finish("ok");
  const client = await connect();
  client.ask("x", { id: "a", options: { reasoning: { effort: "low" } } });
  await settle();
  client.ask("x", { id: "a", options: { reasoning: { effort: "low" } } });
  await settle();
  assert.equal(client.of("error").length, 0);
  client.ask("x", { id: "a", options: { reasoning: { effort: "high" } } });
  client.ask("x", { id: "a" });
  await settle();
  assert.deepEqual(client.of("error").map(({ code }) => code), ["id_conflict", "id_conflict"]);
});

Deno.test("[QU8] where the operator sets no temperature and no limit, none is sent, and a client may choose", async () => {
  const settings = { temperature: undefined, maxTokens: undefined };
  const { connect, model, memory } = startAgent({ settings });
  const client = await connect();
  client.command("configure", {}, "c");
  client.ask("the provider's");
  await settle();
  const { temperature, maxTokens } = model.last.request;
  assert.deepEqual([temperature, maxTokens], [undefined, undefined]);
  assert.deepEqual(client.only("status", "configured").data, { model: "test/model", stream: false });
  assert.ok(Number.isFinite(memory.keptBytes), "an answer without a limit counts as one of ordinary length");
  model.last.finish("ok");
  await settle();
  client.ask("own", { options: { temperature: 0, max_tokens: 1_000_000 } });
  await settle();
  assert.deepEqual([model.last.request.temperature, model.last.request.maxTokens], [0, 1_000_000]);
});

Deno.test("[QU13] the response says how many messages the model was not given, also in a replay", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("short");
  await settle();
  model.last.finish("ok");
  await settle();
  client.ask("long");
  await settle();
  model.last.finish("ok", { trimmed: 4 });
  await settle();
  assert.deepEqual(client.of("response").map(({ data }) => data), [undefined, { trimmed: 4 }]);
  const again = await connect(client.resumeQuery(2));
  await settle();
  assert.deepEqual(again.only("response").data, { trimmed: 4 });
});

Deno.test("[QU8] what the operator does not allow is refused, naming what is", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("x", { options: { model: "dear/model" } });
  client.ask("x", { options: { max_tokens: 1501 } });
  client.command("configure", { model: "dear/model" });
  await settle();
  assert.deepEqual(client.of("error").map(({ code }) => code), Array(3).fill("option_not_allowed"));
  assert.match(client.of("error")[0]?.content ?? "", /test\/model, test\/other/);
  assert.match(client.of("error")[1]?.content ?? "", /at most 1500/);
  assert.equal(model.calls.length, 0);
});

Deno.test("[QU9] a turn outlives its socket, and its end is there on resume", async () => {
  const { connect, model } = startAgent();
  const client = await connect("stream=true");
  client.ask("long", { id: "a" });
  await settle();
  model.last.say("Half ");
  client.vanish();
  assert.equal(model.last.signal.aborted, false);
  model.last.finish("done.");
  await settle();
  const again = await connect(client.resumeQuery(1));
  assert.deepEqual(again.welcome.resumed, { recovered: true, from_seq: 2, to_seq: 2 });
  assert.equal(again.only("response").content, "Half done.");
});

Deno.test("[QU10] cancel gives up the model's request and keeps what was written", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("long", { id: "a" });
  await settle();
  model.last.say("Once upon");
  client.command("cancel", undefined, "c");
  await settle();
  assert.equal(model.last.signal.aborted, true);
  assert.deepEqual(client.only("status", "cancelling").data, { ids: ["a"] });
  const cancelled = client.only("status", "cancelled");
  assert.deepEqual([cancelled.partial, cancelled.reason, cancelled.seq, cancelled.in_reply_to], [
    "Once upon",
    "cancelled",
    2,
    "a",
  ]);
  model.last.finish("too late");
  await settle();
  assert.equal(client.of("response").length, 0);
});

Deno.test("[QU2] [QU10] cancel all, whenever it comes, ends each query once, and the next one is answered", async () => {
  for (let pause = 0; pause < 12; pause++) {
    const { connect, model } = startAgent();
    const client = await connect();
    for (const id of ["1", "2", "3", "4"]) client.ask(id, { id });
    await settle(pause);
    client.command("cancel", { all: true });
    if (pause % 2 === 0) client.command("cancel", { all: true });
    client.ask("next", { id: "5" });
    await settle();
    model.last.finish("5!");
    await settle();
    assert.deepEqual(client.of("status", "cancelled").map(({ in_reply_to }) => in_reply_to).sort(), [
      "1",
      "2",
      "3",
      "4",
    ]);
    assert.equal(client.only("response").in_reply_to, "5");
  }
});

Deno.test("[QU10] a model that does not heed its signal cannot hold a cancelled turn", async () => {
  const deaf = { reply: () => new Promise<never>(() => {}) };
  const agent = startAgent();
  agent.model.reply = deaf.reply;
  const client = await agent.connect();
  client.ask("long");
  await settle();
  client.command("cancel");
  await settle();
  assert.equal(client.of("status", "cancelled").length, 1);
});

Deno.test("[QU11] the model sees the newest MAX_HISTORY messages, the question among them", async () => {
  const { connect, model } = startAgent({ settings: { maxHistory: 4 } });
  model.onCall = (call) => call.finish(`re: ${call.request.messages.at(-1)?.content}`);
  const client = await connect();
  for (const content of ["one", "two", "three"]) {
    client.ask(content);
    await settle();
  }
  assert.deepEqual(model.last.request.messages, [
    { role: "system", content: "You are a test." },
    { role: "user", content: "two" },
    { role: "assistant", content: "re: two" },
    { role: "user", content: "three" },
  ]);
});

Deno.test("[QU11] a failed turn leaves no trace in what the model sees; a cancelled one what was written", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("fails");
  await settle();
  model.last.fail(
    new AgentError("model_unavailable", "the model provider cannot be reached", { retryable: true }),
  );
  await settle();
  client.ask("stopped");
  await settle();
  model.last.say("Half");
  client.command("cancel");
  await settle();
  client.ask("stopped early");
  await settle();
  client.command("cancel");
  await settle();
  client.ask("last");
  await settle();
  assert.deepEqual(model.last.request.messages.slice(1), [
    { role: "user", content: "stopped" },
    { role: "assistant", content: "Half" },
    { role: "user", content: "last" },
  ]);
});

Deno.test("[QU12] commands and feedback never reach the model as questions", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  for (const verb of ["help", "ping", "status", "history", "clear", "sessions", "cancel"]) {
    client.command(verb);
  }
  client.say({ type: "human_feedback", content: "nice", rating: 1 });
  await settle();
  assert.equal(model.calls.length, 0);
});

Deno.test("[MD1] a failing model ends the turn with one error in our words", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  client.ask("x", { id: "a" });
  await settle();
  model.last.say("Half");
  const cause = new Error("secret body");
  model.last.fail(
    new AgentError("model_rate_limited", "the model provider is busy", {
      retryable: true,
      retryAfterMs: 7000,
      cause,
    }),
  );
  await settle();
  const { timestamp: _, turn_id: __, ...error } = client.only("error");
  assert.deepEqual(error, {
    type: "error",
    content: "Failed to generate response: the model provider is busy",
    seq: 2,
    code: "model_rate_limited",
    in_reply_to: "a",
    retryable: true,
    retry_after_ms: 7000,
    partial: "Half",
    usage: { prompt_tokens: 4, completion_tokens: 1, total_tokens: 5, estimated: true },
  });
});

Deno.test("[MD1] a bug in the model's client is an internal error, and the session goes on", async () => {
  const { connect, model } = startAgent();
  const client = await connect();
  model.onCall = () => {
    throw new TypeError("x is not a function");
  };
  client.ask("x");
  await settle();
  assert.equal(
    client.only("error").content,
    "Failed to generate response: Something went wrong on the server",
  );
  model.onCall = (call) => call.finish("ok");
  client.ask("y");
  await settle();
  assert.equal(client.only("response").content, "ok");
});

Deno.test("[LM5] a used up token budget refuses until midnight UTC", async () => {
  const { connect, model, clock } = startAgent({ tokensPerDay: 10 });
  model.onCall = (call) =>
    call.finish("ok", { usage: { prompt_tokens: 9, completion_tokens: 1, total_tokens: 10 } });
  const client = await connect();
  client.ask("one");
  await settle();
  client.ask("two");
  await settle();
  const error = client.only("error");
  assert.equal(error.code, "budget_exceeded");
  assert.equal(error.retry_after_ms, 86_400_000 - clock.now() % 86_400_000);
  clock.advance(86_400_000);
  const later = await connect();
  later.ask("three");
  await settle();
  assert.equal(later.of("response").length, 1);
});

/** The answers to the requests of the AI SDK's transport: chunks, ends, notices. */

import assert from "node:assert/strict";
import { Answer } from "../../../supabase/functions/_shared/ai_sdk/answer.ts";
import { ChunkStream } from "../../../supabase/functions/_shared/ai_sdk/chunk_stream.ts";
import { Listeners } from "../../../supabase/functions/_shared/ai_sdk/listeners.ts";
import { ToolSteps } from "../../../supabase/functions/_shared/ai_sdk/tool_steps.ts";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { MemoryBudget } from "../../../supabase/functions/_shared/guard/memory_budget.ts";
import { startAgent, until } from "../../support/agent_harness.ts";
import { AiSdkPage, openPage } from "../../support/ai_sdk_page.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

/** An answer without a session, and a page that listens to it. */
function answering(
  memory = new MemoryBudget(0),
): { answer: Answer; page: AiSdkPage; listen(id: string): void } {
  const page = new AiSdkPage();
  const answer = new Answer({
    queryId: "q1",
    turnId: "t1",
    info: { sessionId: "s1", resumeToken: undefined },
    listeners: new Listeners(),
    memory: memory.account(0),
    clock: new ManualClock(),
    tools: new ToolSteps(),
    onPaused: () => {},
  });
  const listen = (id: string): void => answer.listen(new ChunkStream(id, (text) => page.send(text)));
  listen("r1");
  return { answer, page, listen };
}

Deno.test("[AS6] an answer is a message with an id of its own, its text, and what the server says of it", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const request = page.ask("Hi", { id: "m1" });
  await until(() => agent.model.calls.length === 1);
  const { last: call } = agent.model;
  assert.deepEqual(call.request.messages.at(-1), { role: "user", content: "Hi" });
  assert.deepEqual(page.frames, [], "nothing before the first text");
  call.say("Hel");
  await until(() => page.text(request) === "Hel");
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
  call.finish("lo", { usage, finishReason: "content_filter" });
  await until(() => page.types(request).includes("end"));
  const [start, ...rest] = page.chunks(request);
  const { turnId, sessionId } = start?.messageMetadata as Record<string, unknown>;
  assert.deepEqual(start, {
    type: "start",
    messageId: `answer-${turnId}`,
    messageMetadata: { turnId, sessionId },
  });
  assert.deepEqual(rest, [
    { type: "text-start", id: "text-1" },
    { type: "text-delta", id: "text-1", delta: "Hel" },
    { type: "text-delta", id: "text-1", delta: "lo" },
    { type: "text-end", id: "text-1" },
    {
      type: "finish",
      finishReason: "content-filter",
      messageMetadata: { turnId, model: "test/model", usage, finishReason: "content_filter", sessionId },
    },
  ]);
  assert.deepEqual(page.of(request).map(({ sequence }) => sequence), [0, 1, 2, 3, 4, 5, undefined]);
});

Deno.test("[AS6] what the model thinks is in reasoning parts, in the order in which it came", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const request = page.ask("Why?");
  await until(() => agent.model.calls.length === 1);
  const { last: call } = agent.model;
  call.think("Let me ");
  call.think("see.");
  call.say("Because. ");
  call.think(" Is it?");
  await settle();
  call.finish("Or not.");
  await until(() => page.types(request).includes("end"));
  assert.deepEqual(page.parts(request), [
    "reasoning: Let me see.",
    "text: Because. ",
    "reasoning:  Is it?",
    "text: Or not.",
  ]);
});

Deno.test("[AS7] pieces that repeat what is known add nothing; text that begins anew replaces it", () => {
  const { answer, page, listen } = answering();
  answer.takeText(0, "Once upon");
  answer.takeText(0, "Once");
  answer.takeText(4, " upon a");
  answer.takeText(30, "from later");
  assert.equal(page.text("r1"), "Once upon a");
  assert.ok(!page.types("r1").includes("reset-step"));
  answer.takeReasoning(0, "Hm.");
  answer.takeText(0, "Twice");
  assert.deepEqual(page.parts("r1"), ["reasoning: Hm.", "text: Twice"]);
  listen("r2");
  assert.deepEqual(page.parts("r2"), page.parts("r1"));
  answer.takeText(5, " more");
  assert.deepEqual([page.text("r1"), page.text("r2")], ["Twice more", "Twice more"]);
  const starts = page.chunks("r1").filter(({ type }) => type === "start");
  assert.equal(starts.length, 1);
});

Deno.test("[AS7] a shorter beginning of the same words is replaced as soon as it goes on differently", () => {
  const { answer, page } = answering();
  answer.takeText(0, "Once upon a time");
  answer.takeText(0, "Once ");
  assert.equal(page.text("r1"), "Once upon a time");
  answer.takeText(5, "more");
  assert.equal(page.text("r1"), "Once more");
});

Deno.test("[AS7] the reasoning of another worker is a part of its own", () => {
  const { answer, page, listen } = answering();
  answer.takeReasoning(0, "Let me see.");
  answer.takeText(0, "One, ");
  answer.takeReasoning(0, "Two comes next.");
  answer.takeText(5, "two");
  assert.deepEqual(page.parts("r1"), [
    "reasoning: Let me see.",
    "text: One, ",
    "reasoning: Two comes next.",
    "text: two",
  ]);
  listen("r2");
  assert.deepEqual(page.parts("r2"), ["reasoning: Two comes next.", "text: One, two"]);
});

Deno.test("[AS6] [AS7] the end has the whole text: what is missing follows, and other text replaces what was shown", () => {
  const response = {
    type: "response",
    timestamp: "2025-01-01T00:00:00.000Z",
    seq: 2,
    turn_id: "t1",
    in_reply_to: "q1",
    finish_reason: "stop",
    model: "m",
  } as const;
  for (const shown of ["", "Once ", "Once upon a time", "Twice", "Once upon a time and more"]) {
    const { answer, page } = answering();
    answer.takeText(0, shown);
    answer.end({ ...response, content: "Once upon a time" });
    assert.equal(page.text("r1"), "Once upon a time", `after ${shown}`);
    assert.deepEqual(page.types("r1").slice(-3), ["text-end", "finish", "end"]);
    assert.equal(answer.hasListeners, false);
  }
});

Deno.test("[AS8] a stopped answer keeps its text, and says why it ends", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const other = await openPage(agent);
  const request = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(request) === "Once ");
  const resumed = other.resume();
  await until(() => other.text(resumed) === "Once ");
  page.abort(request);
  await until(() => other.types(resumed).includes("end"));
  assert.deepEqual(other.types(resumed).slice(-3), ["text-end", "abort", "end"]);
  assert.deepEqual(other.chunks(resumed).at(-1), { type: "abort", reason: "cancelled" });
  assert.ok(agent.model.last.aborted);
  assert.ok(!page.types(request).includes("abort"), "the page no longer listens");
});

Deno.test("[AS8] a failed answer fails its request with the code, after all of its text", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  agent.model.fail(new AgentError("model_stream_broken", "The stream was cut"), ["Once "]);
  const request = page.ask("A story");
  await until(() => page.errorOf(request) !== undefined);
  assert.equal(page.text(request), "Once ");
  assert.equal(page.errorOf(request), "model_stream_broken: Failed to generate response: The stream was cut");
  // The connection and the conversation stay.
  agent.model.answer(["Fine"]);
  const next = page.ask("And now?");
  await until(() => page.types(next).includes("end"));
  assert.equal(page.text(next), "Fine");
});

Deno.test("[AS8] a refused question fails its request", async () => {
  const agent = startAgent({ settings: { maxQueue: 1 } });
  const page = await openPage(agent);
  const requests = ["one", "two", "three"].map((text, n) => page.ask(text, { id: `q${n}` }));
  await until(() => page.errorOf(requests[2] ?? "") !== undefined);
  assert.match(page.errorOf(requests[2] ?? "") ?? "", /^queue_full: /);
  const model = page.ask("x", { body: { options: { model: "no/model" } } });
  const wrong = page.ask("x", { body: { priority: "urgent" } });
  const empty = page.ask(" ");
  await settle();
  assert.match(page.errorOf(model) ?? "", /^option_not_allowed: /);
  assert.match(page.errorOf(wrong) ?? "", /^invalid_frame: .*"priority" must be high, normal or low/);
  assert.equal(page.errorOf(empty), "content_required: Message content is required");
  // A second question of a conversation waits for the first.
  assert.deepEqual([page.of(requests[0] ?? ""), page.of(requests[1] ?? "")], [[], []]);
  agent.model.last.finish("first");
  await until(() => page.types(requests[0] ?? "").includes("end") && agent.model.calls.length === 2);
  agent.model.last.finish("second");
  await until(() => page.types(requests[1] ?? "").includes("end"));
  assert.deepEqual([page.text(requests[0] ?? ""), page.text(requests[1] ?? "")], ["first", "second"]);
});

Deno.test("[AS11] notices are parts of the answer that is being written, or of the next one", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const notify = (id: string, content: string): void => {
    agent.server.notices.toEveryone({
      kind: "notification",
      type: "notification",
      notificationId: id,
      content,
    });
  };
  const request = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(request) === "Once ");
  notify("n1", "Ready");
  notify("n1", "Ready");
  agent.model.last.say("upon");
  await settle();
  assert.deepEqual(page.parts(request), ["text: Once upon", "data-notification"]);
  assert.deepEqual(page.chunks(request).find(({ type }) => type === "data-notification"), {
    type: "data-notification",
    id: "n1",
    data: { content: "Ready" },
  });
  // A restart voids the parts of the message, but not what another function has said.
  agent.model.last.restart();
  agent.model.last.say("Twice");
  await until(() => page.text(request) === "Twice");
  assert.deepEqual(page.parts(request), ["data-notification", "text: Twice"]);
  agent.model.last.finish();
  await until(() => page.types(request).includes("end"));

  const before = page.frames.length;
  for (let n = 0; n < 25; n++) notify(`w${n}`, `waits ${n}`);
  await settle();
  assert.equal(page.frames.length, before, "nothing is sent without a request");
  const next = page.ask("And then?");
  await until(() => agent.model.calls.length === 2);
  await until(() => page.parts(next).length > 0);
  const ids = page.chunks(next).filter(({ type }) => type === "data-notification").map(({ id }) => id);
  assert.deepEqual(ids, Array.from({ length: 20 }, (_, n) => `w${n + 5}`));
});

Deno.test("[AS12] an answer counts in the memory of the worker while it is written", () => {
  const memory = new MemoryBudget(0);
  const { answer } = answering(memory);
  for (let n = 0; n < 100; n++) answer.takeText(n * 1000, "x".repeat(1000));
  assert.ok(memory.keptBytes > 150_000 && memory.keptBytes <= 200_000, String(memory.keptBytes));
  answer.drop();
  assert.equal(memory.keptBytes, 0);
});

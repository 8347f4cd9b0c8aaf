import assert from "node:assert/strict";
import type { AskedTo } from "../../../local/asked_to.ts";
import { behaviourFor, callsFor, piecesOf, planReply, replyFor } from "../../chaos/model_plan.ts";
import { findProblem, readPrompt } from "../../chaos/model_prompt.ts";
import { Random } from "../../chaos/random.ts";
import { readEvent, readStored, sameness } from "../../chaos/reading.ts";
import { answersTo, answerTo, conversationOf, questionOf } from "../../chaos/script.ts";
import { stepsOf } from "../../chaos/tool_script.ts";
import { TextAssembly } from "../../chaos/text_assembly.ts";
import { BEHAVIOUR_NAMES } from "../../support/continuing_models.ts";

const QUESTION = questionOf("c1.s2", 3);
const ANSWER = answerTo(QUESTION);

Deno.test("Random: the same seed gives the same numbers, and forks do not depend on one another", () => {
  const draw = (random: Random): number[] => Array.from({ length: 5 }, () => random.next());
  assert.deepEqual(draw(new Random("a")), draw(new Random("a")));
  assert.notDeepEqual(draw(new Random("a")), draw(new Random("b")));
  const parent = new Random("a");
  const before = draw(parent.fork("x"));
  draw(parent);
  assert.deepEqual(draw(parent.fork("x")), before);
  assert.ok(draw(new Random("a")).every((value) => value >= 0 && value < 1));
});

Deno.test("the chaos model: an answer follows from its question, a plan from seed, question and attempt", () => {
  assert.equal(answerTo(QUESTION), ANSWER);
  assert.notEqual(answerTo(questionOf("c1.s2", 4)), ANSWER);
  assert.equal(conversationOf(QUESTION), "c1.s2");
  const plan = (attempt: number): unknown => {
    const { random: _, ...rest } = planReply("7", { question: QUESTION, attempt }, {
      failures: 0.5,
      pauseMs: 1,
    });
    return rest;
  };
  assert.deepEqual(plan(1), plan(1));
  assert.notDeepEqual(plan(1), plan(2));
  assert.equal(piecesOf(ANSWER, new Random("a")).join(""), ANSWER);
});

Deno.test("the chaos model: it goes on from a partial answer, and tells a prompt that is none of ours", () => {
  const prompt = readPrompt({
    messages: [
      { role: "system", content: "be brief" },
      { role: "user", content: questionOf("c1.s2", 1) },
      { role: "assistant", content: answerTo(questionOf("c1.s2", 1)).slice(0, 5) },
      { role: "user", content: QUESTION },
      { role: "assistant", content: ANSWER.slice(0, 7) },
    ],
  });
  assert.equal(prompt.question, QUESTION);
  assert.deepEqual(prompt.asked, { kind: "prefill", text: ANSWER.slice(0, 7) });
  assert.equal(findProblem(prompt), undefined);
  assert.match(findProblem({ ...prompt, asked: { kind: "prefill", text: "x" } }) ?? "", /^mismatched/);
  const strange = { kind: "anchored", text: ANSWER.slice(0, 7), anchor: "x" } as const;
  assert.match(findProblem({ ...prompt, asked: strange }) ?? "", /^mismatched/);
  assert.match(findProblem({ ...prompt, question: "who are you?" }) ?? "", /^foreign/);
  const history = [{ role: "user", content: questionOf("c9.s9", 1) }] as const;
  assert.match(findProblem({ ...prompt, history }) ?? "", /^foreign/);
  const wrong = [{ role: "user", content: QUESTION }, { role: "assistant", content: "x" }] as const;
  assert.match(findProblem({ ...prompt, history: wrong }) ?? "", /^mismatched/);
});

/** The first question of a conversation whose answers fulfil a condition. */
function questionWith(isWanted: (answers: readonly string[]) => boolean): string {
  for (let number = 0;; number++) {
    const question = questionOf("c2.s1", number);
    if (isWanted(answersTo(question))) return question;
  }
}

Deno.test("the chaos model: how it continues depends on the question, and what comes of it is a correct answer", () => {
  const question = questionWith(([first = "", second]) => first.length > 400 && second === undefined);
  const [whole] = answersTo(question);
  const seen = new Set(Array.from({ length: 500 }, (_, n) => behaviourFor(`${n}`, question)));
  assert.deepEqual(seen, new Set(BEHAVIOUR_NAMES));
  const text = whole.slice(0, 300);
  const seed = Array.from({ length: 500 }, (_, n) => `${n}`).find((seed) =>
    behaviourFor(seed, question) === "obeys everything"
  );
  assert.ok(seed !== undefined);
  const reply = (asked: AskedTo): unknown => replyFor(seed, { question, attempt: 1, asked });
  assert.deepEqual(reply({ kind: "answer" }), { text: whole, finishReason: "stop" });
  assert.deepEqual(reply({ kind: "prefill", text }), { text: whole.slice(300), finishReason: "stop" });
  assert.deepEqual(reply({ kind: "anchored", text, anchor: whole.slice(240, 300) }), {
    text: whole.slice(240),
    finishReason: "stop",
  });
});

Deno.test("TextAssembly: where there are two answers, the text may be either of them, and no mixture", () => {
  const question = questionWith(([, second]) => second?.startsWith("Once more") === true);
  const [first, second = ""] = answersTo(question);
  const text = new TextAssembly(question);
  assert.equal(text.apply({ offset: 0, content: first.slice(0, 9) }), undefined);
  assert.equal(text.apply({ offset: 0, content: "" }), undefined);
  assert.equal(text.apply({ offset: 0, content: second }), undefined);
  assert.equal(text.end({ kind: "response", text: second }), undefined);
  const mixture = first.slice(0, 9) + second;
  assert.match(text.end({ kind: "response", text: mixture }) ?? "", /not the answer/);
  assert.match(text.apply({ offset: 0, content: mixture }) ?? "", /not of the answer/);
});

Deno.test("TextAssembly: deltas may be repeated and begin again, and every other text is found", () => {
  const text = new TextAssembly(QUESTION);
  assert.equal(text.apply({ offset: 0, content: ANSWER.slice(0, 6) }), undefined);
  assert.equal(text.apply({ offset: 4, content: ANSWER.slice(4, 9) }), undefined);
  assert.equal(text.apply({ offset: 0, content: ANSWER.slice(0, 3) }), undefined);
  assert.match(text.apply({ offset: 5, content: "" }) ?? "", /where the text ends at 3/);
  assert.match(text.apply({ offset: 3, content: "?" }) ?? "", /not of the answer/);
  assert.equal(text.end({ kind: "response", text: ANSWER }), undefined);
  assert.match(text.end({ kind: "response", text: ANSWER.slice(0, 3) }) ?? "", /not the answer/);
  assert.equal(text.end({ kind: "cancelled", text: ANSWER.slice(0, 3) }), undefined);
});

Deno.test("reading: a frame and a row of the log tell the same event alike", () => {
  const stamp = "2026-01-01T00:00:00.000Z";
  const frames = [
    { type: "query", content: QUESTION, timestamp: stamp, seq: 1, id: "q" },
    { type: "response", content: ANSWER, timestamp: stamp, seq: 2, in_reply_to: "q" },
    { type: "error", content: "Failed", code: "model_timeout", partial: "1:", seq: 3, in_reply_to: "q" },
    { type: "status", content: "Cancelled", code: "cancelled", partial: "", seq: 4, in_reply_to: "q" },
    { type: "status", content: "Conversation cleared", code: "cleared", seq: 5, in_reply_to: "x" },
    { type: "notification", content: "hello", seq: 6, id: "n" },
  ];
  const stored = [
    readStored(1, { kind: "query", queryId: "q", content: QUESTION }),
    readStored(2, { kind: "response", queryId: "q", content: ANSWER }),
    readStored(3, { kind: "error", queryId: "q", content: "Failed", code: "model_timeout", partial: "1:" }),
    readStored(4, { kind: "cancelled", queryId: "q", partial: "" }),
    readStored(5, { kind: "cleared" }),
    readStored(6, { kind: "notification", notificationId: "n", content: "hello" }),
  ];
  assert.deepEqual(
    frames.map((frame) => readEvent(frame)).map((event) => event && sameness(event)),
    stored.map(sameness),
  );
  const ack = readEvent({
    type: "status",
    content: "Thinking...",
    code: "thinking",
    seq: 1,
    in_reply_to: "q",
  });
  assert.equal(ack?.isAck, true);
  assert.equal(readEvent({ type: "delta", content: "x" }), undefined);
  assert.throws(() => readEvent({ type: "status", content: "?", code: "strange", seq: 1 }), TypeError);
});

/** A question with two steps, the first of which has a text. */
function askedToAct(): string {
  for (let number = 1;; number++) {
    const question = questionOf("c1.s2", number, { usesTools: true });
    const steps = stepsOf(question);
    if (steps.length === 2 && steps[0]?.text !== "" && steps[1]?.text === "") return question;
  }
}

Deno.test("the chaos model: it takes its steps, then it answers, and continues a step that was begun", () => {
  const question = askedToAct();
  const [first, second] = stepsOf(question);
  assert.ok(first !== undefined && second !== undefined);
  const asked = { kind: "answer" } as const;
  const say = (step: number, by: AskedTo = asked): unknown =>
    replyFor("7", { question, attempt: 1, asked: by, step });
  assert.deepEqual(say(0), { text: first.text, finishReason: "stop" });
  assert.deepEqual(callsFor({ question, asked, step: 0 }, first.text), first.calls);
  assert.deepEqual(say(1), { text: "", finishReason: "stop" });
  assert.deepEqual(callsFor({ question, asked, step: 1 }, ""), second.calls);
  assert.deepEqual(callsFor({ question, asked, step: 2 }, "x"), []);
  const half = { kind: "prefill", text: first.text.slice(0, 4) } as const;
  assert.deepEqual(callsFor({ question, asked: half, step: 0 }, ""), [], "it says nothing, and does nothing");
  const whole = { kind: "prefill", text: first.text } as const;
  assert.deepEqual(callsFor({ question, asked: whole, step: 0 }, ""), first.calls);
  assert.ok(
    answersTo(question).every((answer) =>
      answer.startsWith(`${first.text}\n\n1:`) || /Once|and so on/.test(answer)
    ),
  );
});

Deno.test("the chaos model: a prompt has the steps and the results of its question, in their order", () => {
  const question = askedToAct();
  const [first] = stepsOf(question);
  assert.ok(first !== undefined);
  const calls = first.calls.map(({ name, input }, place) => ({
    id: `c${place}`,
    type: "function",
    function: { name, arguments: JSON.stringify(input ?? {}) },
  }));
  const results = calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: `result of ${id}` }));
  const tools = [{ function: { name: "book" } }];
  const messages = [
    { role: "user", content: question },
    { role: "assistant", content: first.text, tool_calls: calls },
    ...results,
  ];
  const prompt = readPrompt({ messages, tools });
  assert.equal(findProblem(prompt), undefined);
  assert.deepEqual(prompt.steps[0]?.results, results.map(({ content }) => content));
  assert.deepEqual(prompt.asked, { kind: "answer" });
  assert.throws(() => readPrompt({ messages: messages.slice(0, -1), tools }), /all their results/);
  assert.throws(() =>
    readPrompt({ messages: [{ role: "tool", content: "x", tool_call_id: "c0" }, ...messages] })
  );
  assert.match(findProblem(readPrompt({ messages })) ?? "", /without tools/);
  const [, step] = messages;
  const silent = [messages[0], { ...step, content: null }, ...results];
  assert.match(findProblem(readPrompt({ messages: silent, tools })) ?? "", /has the text/);
  const others = calls.map((call) => ({ ...call, function: { name: "book", arguments: "{}" } }));
  const other = [messages[0], { ...step, tool_calls: others }, ...results];
  assert.match(findProblem(readPrompt({ messages: other, tools })) ?? "", /^mismatched: step 1/);
});

Deno.test("reading: an event of a call is the same as a frame, as a status and as a row of the log", () => {
  const seen = { type: "tool_result", content: "Done: book", seq: 3, in_reply_to: "q1", call_id: "k1" };
  const frame = readEvent({ ...seen, name: "book", outcome: "ok", output: "{}" });
  const status = readEvent({
    ...seen,
    type: "status",
    code: "tool_result",
    data: { call_id: "k1", name: "book", outcome: "ok" },
  });
  const row = {
    kind: "tool_result",
    queryId: "q1",
    callId: "k1",
    name: "book",
    outcome: "ok",
    output: "{}",
  } as const;
  assert.deepEqual(frame, readStored(3, row));
  assert.ok(status !== undefined && frame !== undefined);
  assert.equal(sameness(status), sameness(frame));
  assert.equal(status.detail, undefined);
  const asked = { type: "status", content: "x", seq: 4, code: "approval_requested" } as const;
  assert.equal(readEvent({ ...asked, data: { approval_id: "k1", name: "pay", input: {} } })?.key, "k1");
});

import assert from "node:assert/strict";
import { piecesOf, planReply } from "../../chaos/model_plan.ts";
import { findProblem, readPrompt } from "../../chaos/model_prompt.ts";
import { Random } from "../../chaos/random.ts";
import { readEvent, readStored, sameness } from "../../chaos/reading.ts";
import { answerTo, conversationOf, questionOf } from "../../chaos/script.ts";
import { TextAssembly } from "../../chaos/text_assembly.ts";

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
  assert.equal(prompt.partial, ANSWER.slice(0, 7));
  assert.equal(findProblem(prompt), undefined);
  assert.match(findProblem({ ...prompt, partial: "x" }) ?? "", /^mismatched/);
  assert.match(findProblem({ ...prompt, question: "who are you?" }) ?? "", /^foreign/);
  const history = [{ role: "user", content: questionOf("c9.s9", 1) }] as const;
  assert.match(findProblem({ ...prompt, history }) ?? "", /^foreign/);
  const wrong = [{ role: "user", content: QUESTION }, { role: "assistant", content: "x" }] as const;
  assert.match(findProblem({ ...prompt, history: wrong }) ?? "", /^mismatched/);
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

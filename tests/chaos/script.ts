/**
 * The questions, and the correct answers to each. They can be computed from one another, so no state is
 * needed.
 */

import { Random } from "./random.ts";
import { stepsOf } from "./tool_script.ts";
import { numberedWords } from "./words.ts";

/**
 * Contains the conversation's name, so that a client that sees another conversation's question is detected. `usesTools`: the model
 * calls tools before it answers.
 */
export function questionOf(conversation: string, number: number, { usesTools = false } = {}): string {
  return `[${conversation}] ${number}: what do you ${usesTools ? "do" : "see"}?`;
}

/** The conversation of a question. */
export function conversationOf(question: string): string | undefined {
  return /^\[([^\]]+)\] /.exec(question)?.[1];
}

/** The number of a question within its conversation. */
export function numberOf(question: string): number | undefined {
  const number = /^\[[^\]]+\] (\d+):/.exec(question)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** The answer to a question, without what was said before tools were called. */
export function answerTo(question: string): string {
  const random = new Random(question);
  const fate = random.next();
  const count = fate < 0.7 ? random.int(3, 40) : fate < 0.94 ? random.int(40, 120) : random.int(150, 350);
  return numberedWords(random, count);
}

/** The share of questions with a second answer. */
const AMBIGUOUS = 0.3;
/** As much of two answers as a model that begins again must repeat to be noticed. */
export const NOTICED_CHARS = 24;

/**
 * All correct texts of the last step. A model that begins again may give the second one, where there is one: a
 * text that begins like the first, or not at all like it.
 */
export function lastTextsOf(question: string): readonly [string, ...string[]] {
  const answer = answerTo(question);
  const random = new Random(`${question}/again`);
  if (!random.chance(AMBIGUOUS)) return [answer];
  if (random.chance(0.5)) {
    return [answer, `Once more, from the back: ${answer.split(" ").reverse().join(" ")}`];
  }
  const words = answer.split(" ");
  let shared = Math.floor(random.next() * words.length);
  while (shared < words.length && words.slice(0, shared).join(" ").length < NOTICED_CHARS) shared++;
  return [answer, `${words.slice(0, shared).join(" ")} and so on.`];
}

/** All correct answers to a question: the texts of its steps, as paragraphs. */
export function answersTo(question: string): readonly [string, ...string[]] {
  const before = stepsOf(question).map(({ text }) => text).filter((text) => text !== "");
  const [first, ...others] = lastTextsOf(question).map((text) => [...before, text].join("\n\n"));
  return [first ?? "", ...others];
}

/** What the model may say in a step, the first of which has the number 0. */
export function textsOfStep(question: string, step: number): readonly [string, ...string[]] {
  const scripted = stepsOf(question)[step];
  return scripted === undefined ? lastTextsOf(question) : [scripted.text];
}

/** Whether a text is the beginning of a correct answer. */
export function isBeginning(text: string, question: string): boolean {
  return answersTo(question).some((answer) => answer.startsWith(text));
}

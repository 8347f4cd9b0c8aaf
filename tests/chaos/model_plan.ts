/**
 * How the model answers a request, and when it fails. The seed, the question and the attempt determine all of
 * it.
 */

import type { AskedTo } from "../../local/asked_to.ts";
import {
  BEHAVIOUR_NAMES,
  type BehaviourName,
  type ContinuingReply,
  replyTo,
} from "../support/continuing_models.ts";
import { Random } from "./random.ts";
import { NOTICED_CHARS, textsOfStep } from "./script.ts";
import { type ScriptedCall, stepsOf } from "./tool_script.ts";

/** How it fails: before the first word (`…_first`), after some words, or with an HTTP status. */
const MODEL_FAULTS = [
  "status_429",
  "status_500",
  "cut_first",
  "stall_first",
  "cut",
  "stall",
  "error_in_stream",
] as const;
export type ModelFault = typeof MODEL_FAULTS[number];

export interface ModelPlan {
  fault: ModelFault | undefined;
  /** How much of the text is sent before the fault, 0 to 1. */
  faultAt: number;
  firstTokenMs: number;
  /** Determines the length and the distance of the pieces. */
  random: Random;
  /** Milliseconds between pieces, on average. */
  pauseMs: number;
}

export interface ModelRates {
  /** The share of requests that fail, 0 to 1. */
  failures: number;
  /** Milliseconds between pieces, on average. */
  pauseMs: number;
}

/** `attempt` counts the requests for this question, from 1. */
export function planReply(
  seed: string,
  { question, attempt }: { question: string; attempt: number },
  { failures, pauseMs }: ModelRates,
): ModelPlan {
  const random = new Random(`${seed}/model/${question}/${attempt}`);
  const fails = random.chance(failures);
  const fault = random.pick(MODEL_FAULTS);
  return {
    fault: fails ? fault : undefined,
    faultAt: random.next(),
    firstTokenMs: random.magnitude(1, 120),
    random,
    pauseMs,
  };
}

/** How the model behaves when it is asked to continue the answer to a question: always in the same way. */
export function behaviourFor(seed: string, question: string): BehaviourName {
  const [first, ...others] = BEHAVIOUR_NAMES;
  if (first === undefined) throw new TypeError("Cannot choose a behaviour: there is none");
  return new Random(`${seed}/behaviour/${question}`).pick([first, ...others]);
}

export interface Asked {
  question: string;
  asked: AskedTo;
  /** How many steps the turn has already. */
  step?: number;
}

/** What the model calls with this reply. A reply that ends before its text does calls nothing. */
export function callsFor({ question, asked, step = 0 }: Asked, reply: string): readonly ScriptedCall[] {
  const scripted = stepsOf(question)[step];
  if (scripted === undefined) return [];
  const isWhole = reply !== "" || (asked.kind === "answer" ? "" : asked.text) === scripted.text;
  return isWhole ? scripted.calls : [];
}

/**
 * What the model replies if nothing fails. Where there are two answers it continues one of those that begin
 * with the text. If it ignores a prefill, it begins an answer that can be told from the rest of the text: PROTOCOL.md (Gaps) has the
 * one that cannot.
 */
export function replyFor(
  seed: string,
  { question, attempt, asked, step = 0 }: Asked & { attempt: number },
): ContinuingReply {
  const random = new Random(`${seed}/answer/${question}/${attempt}`);
  const answers = textsOfStep(question, step);
  const text = asked.kind === "answer" ? "" : asked.text;
  const [first = answers[0], ...others] = answers.filter((answer) => answer.startsWith(text));
  const whole = random.pick([first, ...others]);
  const other = random.pick([...answers]);
  const isNoticed = asked.kind !== "prefill" || /^\p{Lu}/u.test(other) || isAlike(other, text);
  const choice = { whole, again: isNoticed ? other : whole };
  return replyTo(asked, choice, behaviourFor(seed, question));
}

/** Whether two texts have the same beginning, as far as it is noticed. */
function isAlike(one: string, other: string): boolean {
  return one.slice(0, NOTICED_CHARS) === other.slice(0, NOTICED_CHARS);
}

/** Splits a text into pieces as a provider's tokens do: between characters, a few at a time. */
export function piecesOf(text: string, random: Random): string[] {
  const pieces: string[] = [];
  const characters = [...text];
  for (let at = 0; at < characters.length;) {
    const length = random.magnitude(1, 24);
    pieces.push(characters.slice(at, at + length).join(""));
    at += length;
  }
  return pieces;
}

/** How the model answers a request, and when it fails. The seed, the question and the attempt determine all of it. */

import { Random } from "./random.ts";

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

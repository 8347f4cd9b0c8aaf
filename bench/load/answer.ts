/** One question over one socket, timed, with the answer checked. */

import { answerTo, type Script, toQuestion } from "../model/script.ts";
import { invalid } from "../report/invalid.ts";
import type { RawSocket } from "./raw_socket.ts";

const TYPE_AT = '{"type":"'.length;
const decoder = new TextDecoder("utf-8", { fatal: true });

export interface Answer {
  frames: readonly Uint8Array[];
  /** From the question to the first delta, in milliseconds. */
  firstDeltaMs: number;
  /** The longest time from one delta to the next, in milliseconds. */
  longestGapMs: number;
}

/** Resolves with the frame that ends the turn. Nothing is decoded before that: the clock is running. */
export async function ask(socket: RawSocket, script: Script): Promise<Answer> {
  const before = socket.frames.length;
  const { promise, resolve } = Promise.withResolvers<void>();
  let firstDeltaMs = NaN;
  let lastAt = Infinity;
  let longestGapMs = 0;
  socket.onFrame = (payload) => {
    if (isDelta(payload)) {
      const now = performance.now();
      if (Number.isNaN(firstDeltaMs)) firstDeltaMs = now - startedAt;
      longestGapMs = Math.max(longestGapMs, now - lastAt);
      lastAt = now;
    } else if (isOfType(payload, "response") || isOfType(payload, "error")) resolve();
  };
  const timer = setTimeout(resolve, timeoutMs(script));
  const startedAt = performance.now();
  await socket.send({ type: "query", content: toQuestion(script) });
  await promise;
  clearTimeout(timer);
  return { frames: socket.frames.slice(before), firstDeltaMs, longestGapMs };
}

/** Throws if the deltas or the response differ from the model's text. Returns the number of deltas. */
export function check({ frames }: Pick<Answer, "frames">, script: Script): number {
  const expected = answerTo(script);
  let text = "";
  let deltas = 0;
  for (const payload of frames) {
    const frame = JSON.parse(decoder.decode(payload));
    if (frame.type === "delta") {
      // The floor sends no offset: its deltas follow each other.
      text = text.slice(0, frame.offset ?? text.length) + frame.content;
      deltas++;
    }
    if (frame.type === "error") throw invalid(`a turn ended with ${JSON.stringify(frame)}`);
    if (frame.type !== "response") continue;
    if (frame.content !== expected) throw invalid(difference("the response", frame.content, expected));
    // Deltas held back for a slow reader are not sent after the response. This happens only in a flood.
    if (script.perSecond === 0 ? !expected.startsWith(text) : text !== expected) {
      throw invalid(difference("the deltas", text, expected));
    }
    return deltas;
  }
  throw invalid(`an answer did not come to its end: ${deltas} deltas of ${script.tokens} tokens`);
}

/** Whether a frame is a delta. It is not decoded. */
export function isDelta(payload: Uint8Array): boolean {
  return isOfType(payload, "delta");
}

function isOfType(payload: Uint8Array, type: "delta" | "response" | "error"): boolean {
  for (let index = 0; index < type.length; index++) {
    if (payload[TYPE_AT + index] !== type.charCodeAt(index)) return false;
  }
  return true;
}

function timeoutMs({ tokens, perSecond }: Script): number {
  return 30_000 + (perSecond === 0 ? 0 : 2000 * tokens / perSecond);
}

function difference(what: string, got: string, expected: string): string {
  let at = 0;
  while (at < expected.length && got[at] === expected[at]) at++;
  return `${what} has ${got.length} characters of ${expected.length} and differs at ${at}`;
}

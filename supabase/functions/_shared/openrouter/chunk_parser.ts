/** Parses the chunks of a stream. Most differ from the one before in their text alone. */

import { isRecord } from "./json_values.ts";

// deno-lint-ignore no-control-regex -- JSON escapes them
const PLAIN = /^[^"\\\x00-\x1f]*$/;
/** From 13 characters on, V8 makes no copy of a part of a string: it would keep everything alive that came in the same read. */
const MAX_SLICE = 12;
const KEY = /"content":\s*"/;
/** How many chunks in a row may be unlike the one before, until no more is learnt of a stream: to learn is to parse once more. */
const MAX_TRIES = 8;
const PROBE = "?";

interface Frame {
  /** What a chunk has before its text, and after it: from one quotation mark to the other. */
  start: string;
  end: string;
  chunk: unknown;
  /** The part of `chunk` with the text. */
  delta: Record<string, unknown>;
}

export class ChunkParser {
  #frame: Frame | undefined;
  #triesLeft = MAX_TRIES;

  /**
   * As `JSON.parse`, also in what it throws, but for the price of a comparison if the chunk is like the one before. What it returned
   * may change with the next call.
   */
  parse(data: string): unknown {
    const frame = this.#frame;
    if (frame !== undefined) {
      const content = textIn(data, frame);
      if (content !== undefined) {
        this.#triesLeft = MAX_TRIES;
        frame.delta.content = content;
        return frame.chunk;
      }
    }
    const chunk: unknown = JSON.parse(data);
    if (this.#triesLeft > 0) {
      this.#triesLeft--;
      this.#frame = frameOf(data, chunk);
    }
    return chunk;
  }
}

/** The text of a chunk that has nothing else but what the frame has. */
function textIn(data: string, { start, end }: Frame): string | undefined {
  if (data.length < start.length + end.length) return undefined;
  // `startsWith` and `endsWith` compare character by character, which takes as long as to parse.
  if (data.slice(0, start.length) !== start || data.slice(-end.length) !== end) return undefined;
  const text = data.slice(start.length, -end.length);
  if (text.length <= MAX_SLICE && PLAIN.test(text)) return text;
  try {
    return JSON.parse(`"${text}"`);
  } catch {
    return undefined;
  }
}

function frameOf(data: string, chunk: unknown): Frame | undefined {
  const content = deltaOf(chunk)?.content;
  const key = KEY.exec(data);
  if (typeof content !== "string" || key === null) return undefined;
  const at = key.index + key[0].length;
  const text = JSON.stringify(content).slice(1, -1);
  if (!data.startsWith(`${text}"`, at)) return undefined;
  const [start, end] = [data.slice(0, at), data.slice(at + text.length)];
  // The key may be another one: with another text in its place, it is that text which has to change.
  const probe: unknown = JSON.parse(`${start}${PROBE}${text}${end}`);
  const delta = deltaOf(probe);
  // Who reads a chunk may keep an object of its delta and change it.
  if (
    delta === undefined || Object.values(delta).some((value) => typeof value === "object" && value !== null)
  ) {
    return undefined;
  }
  return delta.content === `${PROBE}${content}` ? { start, end, chunk: probe, delta } : undefined;
}

function deltaOf(chunk: unknown): Record<string, unknown> | undefined {
  if (!isRecord(chunk) || !Array.isArray(chunk.choices)) return undefined;
  const choice: unknown = chunk.choices[0];
  return isRecord(choice) && isRecord(choice.delta) ? choice.delta : undefined;
}

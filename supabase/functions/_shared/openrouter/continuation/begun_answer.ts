/** The beginning of an answer, as far as it helps to find it again in a reply. */

import { normalize, NormalText } from "./normal_text.ts";

/**
 * Below this length, in normalized characters, a reply that begins again could not be told from one that
 * continues.
 */
export const MIN_PREFILL_CHARS = 40;
/** Below this length the beginning and the last words could be mistaken for each other. */
const MIN_ANCHORED_CHARS = 200;
/**
 * The shortest evidence that a reply repeats the beginning of the answer, or its end, in normalized
 * characters.
 */
const MIN_HEAD_CHARS = 40;
export const MIN_TAIL_CHARS = 32;
/** The longest. A text that repeats itself over more than this cannot be joined safely. */
const MAX_EVIDENCE_CHARS = 160;
/** Length of the anchor, in normalized characters: at least this, and this much more than the evidence. */
const ANCHOR_CHARS = 60;
const ANCHOR_MARGIN = 28;

export interface BegunAnswer {
  /** Without the white space at its end, which some models refuse, and many write before the next word. */
  text: string;
  /** The white space at its end. */
  space: string;
  /** `text`, normalized. */
  normal: string;
  /**
   * As many normalized characters as it takes to tell its beginning from every other part of it; undefined if
   * there is no such number.
   */
  headChars: number | undefined;
  /** The same for its end. */
  tailChars: number | undefined;
  /** Its last words, for a model to repeat; undefined if it is too short, or if its end is not unique. */
  anchor: string | undefined;
}

export function readBegun(partial: string): BegunAnswer {
  const text = partial.trimEnd();
  const normal = normalize(text);
  const headChars = uniqueHead(normal);
  const tailChars = uniqueTail(normal);
  const isAnchored = normal.length >= MIN_ANCHORED_CHARS && tailChars !== undefined;
  return {
    text,
    space: partial.slice(text.length),
    normal,
    headChars,
    tailChars,
    anchor: isAnchored ? lastWords(text, Math.max(ANCHOR_CHARS, tailChars + ANCHOR_MARGIN)) : undefined,
  };
}

function uniqueHead(normal: string): number | undefined {
  // In a short text, more than half of it would be unique only because it occurs once.
  const shortest = Math.min(MIN_HEAD_CHARS, Math.floor(normal.length / 2));
  for (
    let length = shortest;
    length > 0 && length <= Math.min(MAX_EVIDENCE_CHARS, normal.length / 2);
    length *= 2
  ) {
    if (normal.indexOf(normal.slice(0, length), 1) < 0) return length;
  }
  return undefined;
}

function uniqueTail(normal: string): number | undefined {
  for (let length = MIN_TAIL_CHARS; length <= Math.min(MAX_EVIDENCE_CHARS, normal.length / 2); length *= 2) {
    const start = normal.length - length;
    if (normal.indexOf(normal.slice(start)) === start) return length;
  }
  return undefined;
}

/** The end of a text, of at least so many normalized characters, from the beginning of a word. */
function lastWords(text: string, chars: number): string {
  // White space may make the original much longer.
  const part = text.slice(-8 * chars);
  const end = new NormalText(part);
  const wanted = end.rawIndex(Math.max(0, end.length - chars));
  const words = new Intl.Segmenter(undefined, { granularity: "word" }).segment(part);
  let start = words.containing(wanted)?.index ?? wanted;
  // A mark directly before the anchor would be mistaken for a quotation mark of the model.
  while (start > 0 && WRAPPERS.includes(part.charAt(start - 1))) start--;
  return part.slice(start).trimStart();
}

/** What models put around the words that they repeat. */
export const WRAPPERS = "\"'“”„‟«»″‘’‚‛‹›′*_`";

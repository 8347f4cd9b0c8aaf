/**
 * Models that are asked to continue an answer, each with its own way of obeying or not. Pure: what they reply
 * to a prompt.
 */

import type { AskedTo } from "../../local/asked_to.ts";

/** A reply, or the status of a refusal. */
export type ContinuingReply = { text: string; finishReason: string } | { status: number };

export interface Continued {
  /** The model's answer, of which `text` is the beginning. */
  whole: string;
  /** Its answer if it begins again. */
  again: string;
  /** The answer so far, as the prompt has it. */
  text: string;
  anchor: string;
}

interface Behaviour {
  /** Default: it obeys. */
  prefill?(continued: Continued): string | number;
  /** Default: it obeys. */
  anchored?(continued: Continued): string | number;
}

const restOf = ({ whole, text }: Continued): string => whole.slice(text.length);
const obey = (continued: Continued): string => continued.anchor + restOf(continued);
const anew = ({ again }: Continued): string => again;
/** Every character once, so that no part of it repeats the text. */
const UNLIKE = "Quite another answer, which has nothing in common with what was said before it.";

function respell(text: string, spelling: ReadonlyMap<string, string>): string {
  return [...text].map((char) => spelling.get(char) ?? char).join("");
}

const QUOTES = new Map([['"', "“"], ["“", '"'], ["”", '"'], ["«", '"'], ["»", "”"], ["'", "’"], ["’", "'"]]);
const DASHES = new Map([["-", "–"], ["—", "-"], ["–", "—"], ["…", "..."]]);

/** The way back where a prefill brings nothing: an anchor is obeyed, unless the behaviour says otherwise. */
export const BEHAVIOURS = {
  "obeys everything": {},
  "refuses a prefill": { prefill: () => 400 },
  "refuses a prefill with 422": { prefill: () => 422 },
  "ignores a prefill and begins again": { prefill: anew },
  "ignores a prefill and repeats the last words": {
    prefill: ({ whole, text }) => whole.slice(Math.max(0, text.length - 150)),
  },
  "says nothing to a prefill": { prefill: () => "" },
  "repeats the anchor with other white space": {
    anchored: (continued) => continued.anchor.replace(/\s+/g, "\n ") + restOf(continued),
  },
  "repeats the anchor with other quotes": {
    anchored: (continued) => respell(continued.anchor, QUOTES) + restOf(continued),
  },
  "repeats the anchor with other dashes": {
    anchored: (continued) => respell(continued.anchor, DASHES) + restOf(continued),
  },
  "makes a remark first": { anchored: (continued) => `Sure! Here is the rest:\n\n${obey(continued)}` },
  "makes a remark on the same line": { anchored: (continued) => `Of course, I continue: ${obey(continued)}` },
  "opens a code block first": { anchored: (continued) => "```\n" + obey(continued) },
  "puts the anchor into quotation marks": {
    anchored: (continued) => `“${continued.anchor}”${restOf(continued)}`,
  },
  "puts the anchor into bold face": {
    anchored: (continued) => `**${continued.anchor}**${restOf(continued)}`,
  },
  "begins with an ellipsis": { anchored: (continued) => `…${obey(continued)}` },
  "begins further back than the anchor": {
    anchored: ({ whole, text }) => whole.slice(wordStart(text, text.length - 130)),
  },
  "begins further back, after a remark": {
    anchored: ({ whole, text }) => `Here it is:\n${whole.slice(wordStart(text, text.length - 300))}`,
  },
  "repeats the whole answer": { anchored: anew },
  "repeats the whole answer after a remark": {
    anchored: ({ again }) => `Sure! Here is the whole answer again:\n\n${again}`,
  },
  "stops in the middle of the anchor": {
    anchored: ({ anchor }) => anchor.slice(0, Math.floor(anchor.length / 2)),
  },
  "continues without the anchor": { anchored: restOf },
  "repeats only the last word": {
    anchored: (continued) =>
      continued.text.slice(wordStart(continued.text, continued.text.length - 4)) + restOf(continued),
  },
  "says something else": { anchored: () => UNLIKE },
  "refuses every continuation": { prefill: () => 400, anchored: () => 400 },
  "says nothing to any continuation": { prefill: () => "", anchored: () => "" },
} satisfies Record<string, Behaviour>;

export type BehaviourName = keyof typeof BEHAVIOURS;
export const BEHAVIOUR_NAMES = Object.keys(BEHAVIOURS) as readonly BehaviourName[];

export interface Answers {
  whole: string;
  /** What it answers if it begins again. Default: the same. */
  again?: string;
}

/** The reply of a model. A text so far that is not the beginning of its answer makes it begin again. */
export function replyTo(
  asked: AskedTo,
  { whole, again = whole }: Answers,
  name: BehaviourName,
): ContinuingReply {
  if (asked.kind === "answer" || !whole.startsWith(asked.text)) return { text: again, finishReason: "stop" };
  const behaviour: Behaviour = BEHAVIOURS[name];
  const anchor = asked.kind === "anchored" ? asked.anchor : "";
  const continued = { whole, again, text: asked.text, anchor };
  const reply = asked.kind === "prefill"
    ? (behaviour.prefill ?? restOf)(continued)
    : (behaviour.anchored ?? obey)(continued);
  return typeof reply === "number" ? { status: reply } : { text: reply, finishReason: "stop" };
}

/** The beginning of the line, or of the word, at an index; of the text, if the index is negative. */
function wordStart(text: string, index: number): number {
  const before = text.slice(0, Math.max(0, index));
  const start = Math.max(before.lastIndexOf("\n"), before.lastIndexOf(" ")) + 1;
  const isHalf = /^[\udc00-\udfff]/.test(text.slice(start, start + 1));
  return isHalf ? start + 1 : start;
}

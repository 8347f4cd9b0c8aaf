/** The beginning of an answer: white space and thoughts between tags, before the first word. */

import { THINK_TAGS, type ThinkTagPolicy } from "../think_tags.ts";

/** How much white space at the beginning is kept, in characters. A model in a loop may write nothing else. */
export const MAX_LEADING_SPACE = 1024;

const OPENING = THINK_TAGS.map(({ open }) => open);
const CLOSING = THINK_TAGS.map(({ close }) => close);

export interface AnswerStartOptions {
  policy: ThinkTagPolicy;
  /** Called with the thoughts, unless the policy is `leave`. Never with white space alone at the beginning of a block. */
  onThought(text: string): void;
  /** Whether white space behind a block is part of the text: it may separate two words of an answer that is continued. Default false. */
  keepsSpace?: boolean;
}

/**
 * Looks for the first word of an answer. Once it is found ({@linkcode AnswerStart.isOver}) the text needs no more looking at, so
 * that the rest of a stream costs nothing.
 */
export class AnswerStart {
  readonly #policy: ThinkTagPolicy;
  readonly #onThought: (text: string) => void;
  readonly #keepsSpace: boolean;
  /** What may be part of a tag, or is white space before the first word. */
  #held = "";
  /** The tag that ends the block; undefined outside of one. */
  #close: string | undefined;
  #hasThought = false;
  #isBehindBlock = false;
  #isOver = false;

  constructor({ policy, onThought, keepsSpace = false }: AnswerStartOptions) {
    this.#keepsSpace = keepsSpace;
    this.#policy = policy;
    this.#onThought = onThought;
  }

  /** The first word has come. Nothing may be added any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Takes the next piece, and returns the text that belongs to the answer: empty before its first word. */
  add(piece: string): string {
    this.#held += piece;
    for (;;) {
      if (this.#close !== undefined && !this.#leaveBlock(this.#close)) return "";
      const start = this.#held.trimStart();
      if (start === "") {
        this.#held = this.#dropsSpace ? "" : this.#held.slice(-MAX_LEADING_SPACE);
        return "";
      }
      if (this.#policy === "leave") return this.#begin(this.#held);
      const tag = THINK_TAGS.find(({ open }) => start.startsWith(open));
      // Some servers take the thoughts out, and forget the closing tag.
      const stray = CLOSING.find((close) => start.startsWith(close));
      if (tag !== undefined) {
        this.#close = tag.close;
        this.#hasThought = false;
        this.#held = start.slice(tag.open.length);
      } else if (stray !== undefined) {
        this.#isBehindBlock = true;
        this.#held = start.slice(stray.length);
      } else if ([...OPENING, ...CLOSING].some((whole) => whole.startsWith(start))) {
        return "";
      } else {
        return this.#beginAt(start);
      }
    }
  }

  /** The answer has ended: returns what was held back and is text, such as a `<thi` that is no tag. */
  end(): string {
    if (this.#isOver) return "";
    if (this.#close !== undefined) this.#think(this.#held);
    else if (this.#held.trim() !== "") return this.#beginAt(this.#held.trimStart());
    this.#held = "";
    return "";
  }

  /** `start`: what is held, from its first word on. White space before it is the answer's own unless it is behind a block. */
  #beginAt(start: string): string {
    return this.#begin(this.#dropsSpace ? start : this.#held);
  }

  get #dropsSpace(): boolean {
    return this.#isBehindBlock && !this.#keepsSpace;
  }

  #begin(text: string): string {
    this.#isOver = true;
    this.#held = "";
    return text;
  }

  /** Hands the thoughts on, up to the closing tag. Returns whether it was there. */
  #leaveBlock(close: string): boolean {
    const at = this.#held.indexOf(close);
    const end = at < 0 ? this.#held.length - overlap(this.#held, close) : at;
    this.#think(this.#held.slice(0, end));
    if (at < 0) {
      this.#held = this.#held.slice(end);
      return false;
    }
    this.#held = this.#held.slice(at + close.length);
    this.#close = undefined;
    this.#isBehindBlock = true;
    return true;
  }

  #think(text: string): void {
    // Qwen 3 writes an empty block when it does not think.
    const thought = this.#hasThought ? text : text.trimStart();
    if (thought === "") return;
    this.#hasThought = true;
    this.#onThought(thought);
  }
}

/** How many characters at the end of `text` may be the beginning of `tag`. */
function overlap(text: string, tag: string): number {
  for (let chars = Math.min(text.length, tag.length - 1); chars > 0; chars--) {
    if (text.endsWith(tag.slice(0, chars))) return chars;
  }
  return 0;
}

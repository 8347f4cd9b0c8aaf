/**
 * The join between the beginning of an answer and a reply that was asked to continue it. Pure: gets the
 * pieces of the reply, and returns what to hand on.
 *
 * A reply is held back until it is decided what it is:
 *
 * | the reply | result |
 * |---|---|
 * | repeats the end of the answer, perhaps after a remark | its text behind that is handed on |
 * | repeats the answer from its beginning to its end | its text behind that is handed on |
 * | repeats the beginning, and then differs | it is a new answer: it replaces the old one. After a prefill it is dropped |
 * | anything else | `prefill`: it continues the answer. `restart`: it is a new answer. `anchored`: nobody can tell, so it is dropped |
 *
 * Dropped means that the next way is tried.
 */

import type { ContinueWay } from "../../protocol/log_event.ts";
import { type BegunAnswer, MIN_TAIL_CHARS, WRAPPERS } from "./begun_answer.ts";
import { NormalText } from "./normal_text.ts";
import { isNewSentence, isRemark, joinSpace } from "./transitions.ts";

/** Longest remark of a model before the words that it repeats, in normalized characters. */
const MAX_REMARK_CHARS = 200;
/**
 * How far back from its end a reply may begin to repeat the answer, in normalized characters, except at its
 * beginning.
 */
const MAX_REPEATED_CHARS = 20_000;
/** A reply that repeats this much of the beginning and then differs may be a new answer, or not. */
const SUSPICIOUS_CHARS = 16;
/** Places where a part of a reply occurs in the answer, of which each is followed. */
const MAX_PLACES = 32;

/**
 * Why a reply is of no use. `no_anchor`: it does not repeat the last words. `unclear`: it may be a new
 * answer. `nothing_new`: it ends before it brings a new character.
 */
export type SeamFailure = "no_anchor" | "unclear" | "nothing_new";

export type SeamStep =
  | { kind: "hold" }
  /**
   * Hand `text` on, and from then on every piece. `restarts`: it replaces the answer so far. `text` may be
   * empty at the end.
   */
  | { kind: "open"; text: string; restarts: boolean }
  | { kind: "failed"; why: SeamFailure };

const HOLD: SeamStep = { kind: "hold" };

/**
 * The reply repeats the answer: from `at` in the reply as from `from` in the answer, over `length` normalized
 * characters so far.
 */
interface Repetition {
  at: number;
  from: number;
  length: number;
}

/** One reply. It must not be used any more once it is open or has failed. */
export class Seam {
  readonly #way: ContinueWay;
  readonly #begun: BegunAnswer;
  /** The part of the answer that a reply may repeat, normalized. */
  readonly #searched: string;
  readonly #maxRemark: number;
  /** Normalized characters of the answer that a reply must repeat to be compared further. */
  readonly #evidence: number;
  readonly #reply = new NormalText();
  #live: Repetition[] = [];
  /** The next place in the reply that is compared with the answer. */
  #next = 0;
  /** Where a new answer begins in the reply, if it may be one. */
  #newAt: number | undefined;
  /** Text behind the join that waits for its first character that is not white space. */
  #behind: string | undefined;
  /** Where the reply begins to repeat the answer, if it does that from its beginning on. */
  #wholeAt: number | undefined;
  /** The reply repeats what occurs in the answer at more places than are followed. */
  #isAmbiguous = false;
  /** Longest beginning of the answer that the reply repeated before it differed. */
  #repeated = 0;

  constructor(way: ContinueWay, begun: BegunAnswer) {
    this.#way = way;
    this.#begun = begun;
    if (way !== "anchored" && begun.normal !== "") this.#live.push({ at: 0, from: 0, length: 0 });
    this.#evidence = begun.tailChars ?? MIN_TAIL_CHARS;
    this.#searched = begun.normal.slice(-MAX_REPEATED_CHARS);
    // After a prefill a remark cannot be told from the rest of the answer.
    this.#maxRemark = way === "anchored" ? MAX_REMARK_CHARS : 0;
  }

  push(piece: string): SeamStep {
    this.#reply.push(piece);
    if (this.#behind === undefined) return this.#decide(false);
    this.#behind += piece;
    return this.#open(false);
  }

  /** The reply has ended. */
  end(finishReason: string): SeamStep {
    const isCutOff = finishReason === "length" || finishReason === "max_tokens";
    const step = this.#behind === undefined ? this.#decide(true) : this.#open(true);
    const isNothing = step.kind === "open" && !step.restarts && step.text.trim() === "";
    return isNothing && isCutOff ? failed("nothing_new") : step;
  }

  #decide(isEnd: boolean): SeamStep {
    const repetition = this.#follow();
    if (repetition !== undefined) return this.#join(repetition, isEnd);
    if (this.#live.length > 0 && !isEnd) return HOLD;
    switch (this.#way) {
      case "prefill":
        return this.#decidePrefill(isEnd);
      case "anchored":
        return this.#decideAnchored(isEnd);
      case "restart":
        return this.#reply.length === 0 ? isEnd ? failed("nothing_new") : HOLD : this.#restart(0);
    }
  }

  #decidePrefill(isEnd: boolean): SeamStep {
    const { length, raw, text } = this.#reply;
    const mayRepeat = this.#live.length > 0 || length < this.#evidence && this.#searched.includes(text);
    if (mayRepeat && !isEnd) return HOLD;
    if (length === 0 || mayRepeat && length >= SUSPICIOUS_CHARS) return failed("nothing_new");
    // It may be a new answer, or a verse of a song that has the same beginning.
    const isUnclear = this.#isAmbiguous || this.#repeated >= SUSPICIOUS_CHARS;
    if (isUnclear || isNewSentence(this.#begun.text, raw)) return failed("unclear");
    this.#behind = raw;
    return this.#open(isEnd);
  }

  #decideAnchored(isEnd: boolean): SeamStep {
    const { length } = this.#reply;
    const isSearched = this.#next > this.#maxRemark;
    if (!isSearched && !isEnd) return HOLD;
    if (this.#newAt !== undefined) return this.#restart(this.#newAt);
    return failed(length === 0 || this.#live.length > 0 ? "nothing_new" : "no_anchor");
  }

  /**
   * Compares the reply with the answer. Returns the repetition that has reached the end of the answer, if
   * there is one.
   */
  #follow(): Repetition | undefined {
    const { normal, headChars = Infinity } = this.#begun;
    const { text } = this.#reply;
    if (this.#way !== "restart") this.#findRepetitions();
    for (const each of this.#live) {
      const { at, from } = each;
      const end = Math.min(text.length - at, normal.length - from);
      while (each.length < end && text[at + each.length] === normal[from + each.length]) each.length++;
      if (from + each.length === normal.length) return each;
    }
    const isOver = ({ at, length }: Repetition): boolean => at + length < text.length;
    for (const { at, from, length } of this.#live.filter(isOver)) {
      if (from !== 0) continue;
      this.#repeated = Math.max(this.#repeated, length);
      if (length >= headChars) this.#newAt ??= at;
    }
    if (this.#live.some(isOver)) this.#live = this.#live.filter((each) => !isOver(each));
    return undefined;
  }

  /** Looks for parts of the answer in the beginning of the reply. */
  #findRepetitions(): void {
    const { normal } = this.#begun;
    const { text, raw } = this.#reply;
    const searched = this.#searched;
    const evidence = this.#evidence;
    const skipped = normal.length - searched.length;
    for (; this.#next <= this.#maxRemark && this.#next + evidence <= text.length; this.#next++) {
      const at = this.#next;
      if (at > 0 && !isRemark(raw.slice(0, this.#reply.rawIndex(at)))) continue;
      const part = text.slice(at, at + evidence);
      const add = (from: number): void => {
        const isKnown = this.#live.some((each) => each.from - each.at === from - at);
        if (!isKnown) this.#live.push({ at, from, length: evidence });
      };
      if (normal.startsWith(part)) add(0);
      let found = searched.lastIndexOf(part);
      for (let places = 0; found >= 0; places++) {
        if (places === MAX_PLACES) {
          this.#isAmbiguous = true;
          break;
        }
        add(found + skipped);
        found = found === 0 ? -1 : searched.lastIndexOf(part, found - 1);
      }
    }
  }

  #join({ at, from, length }: Repetition, isEnd: boolean): SeamStep {
    const { text } = this.#reply;
    // A text that says something twice in a row may go on like this. All of it from its beginning is what
    // some providers return.
    if (this.#way === "prefill" && (from > 0 || this.#begun.headChars === undefined)) {
      return failed("unclear");
    }
    let end = at + length;
    const opening = this.#wrapperBefore(at, from);
    if (text.length < end + opening.length && !isEnd) return HOLD;
    const closing = [...opening].reverse().join("");
    if (text.startsWith(closing, end)) end += closing.length;
    if (from === 0 && this.#way !== "prefill") this.#wholeAt = at;
    this.#behind = this.#reply.rawFrom(end);
    return this.#open(isEnd);
  }

  #open(isEnd: boolean): SeamStep {
    const behind = this.#behind ?? "";
    const rest = behind.trimStart();
    if (rest === "" && !isEnd) return HOLD;
    const space = behind.slice(0, behind.length - rest.length);
    const joint = joinSpace(this.#begun.space, space);
    if (joint === undefined && rest !== "" && this.#wholeAt !== undefined) {
      return this.#restart(this.#wholeAt);
    }
    // The white space that was there first has been shown, and stays.
    return { kind: "open", text: (joint ?? "") + rest, restarts: false };
  }

  /** The marks that the model has put directly before what it repeats. */
  #wrapperBefore(at: number, from: number): string {
    const { normal } = this.#begun;
    const { text } = this.#reply;
    // It may repeat more than was followed: those marks are the answer's.
    let end = at;
    for (let place = from; end > 0 && place > 0 && text[end - 1] === normal[place - 1]; place--) end--;
    let start = end;
    while (start > 0 && WRAPPERS.includes(text.charAt(start - 1))) start--;
    return text.slice(start, end);
  }

  #restart(at: number): SeamStep {
    return { kind: "open", text: this.#reply.rawFrom(at), restarts: true };
  }
}

function failed(why: SeamFailure): SeamStep {
  return { kind: "failed", why };
}

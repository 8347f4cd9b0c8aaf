/** An answer as a client builds it from deltas, compared with the correct answer at every step. */

import { answerTo } from "./script.ts";

export class TextAssembly {
  readonly #expected: string;
  #text = "";

  constructor(question: string) {
    this.#expected = answerTo(question);
  }

  get text(): string {
    return this.#text;
  }

  /** Applies a delta. Returns a description of the fault, if there is one. */
  apply({ offset, content }: { offset: number; content: string }): string | undefined {
    if (offset > this.#text.length) {
      return `a delta at ${offset}, where the text ends at ${this.#text.length}`;
    }
    this.#text = this.#text.slice(0, offset) + content;
    if (this.#expected.startsWith(this.#text)) return undefined;
    return `a delta at ${offset} (${JSON.stringify(content.slice(0, 60))}) that is not of the answer`;
  }

  /** The fault of an end with this text. For an unfinished answer, the client may have seen more than was stored. */
  end({ kind, text }: { kind: string; text: string }): string | undefined {
    if (kind === "response" && text !== this.#expected) {
      return `the response is not the answer: ${difference(text, this.#expected)}`;
    }
    if (!this.#expected.startsWith(text)) {
      return `what is kept of it is not of the answer: ${difference(text, this.#expected)}`;
    }
    return undefined;
  }
}

function difference(text: string, expected: string): string {
  let at = 0;
  while (at < text.length && text[at] === expected[at]) at++;
  const near = (one: string): string => JSON.stringify(one.slice(Math.max(0, at - 20), at + 40));
  return `from ${at} of ${text.length} it has ${near(text)} for ${near(expected)} of ${expected.length}`;
}

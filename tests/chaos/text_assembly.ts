/** An answer as a client builds it from deltas, compared with the correct answers at every step. */

import { answersTo, isBeginning } from "./script.ts";

export class TextAssembly {
  readonly #question: string;
  #text = "";

  constructor(question: string) {
    this.#question = question;
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
    if (isBeginning(this.#text, this.#question)) return undefined;
    return `a delta at ${offset} (${JSON.stringify(content.slice(0, 60))}) that is not of the answer`;
  }

  /** The fault of an end with this text. For an unfinished answer, the client may have seen more than was stored. */
  end({ kind, text }: { kind: string; text: string }): string | undefined {
    const answers = answersTo(this.#question);
    if (kind === "response" && !answers.includes(text)) {
      return `the response is not the answer: ${difference(text, answers[0])}`;
    }
    if (!isBeginning(text, this.#question)) {
      return `what is kept of it is not of the answer: ${difference(text, answers[0])}`;
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

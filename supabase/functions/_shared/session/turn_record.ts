/** How much of a running answer the store has. */

import type { Turn } from "../agent/turn.ts";
import type { Checkpoint } from "../ports.ts";

export class TurnRecord {
  readonly #turn: Turn;
  /** Pieces of this run; the first replaces what earlier runs have left. */
  #pieces = 0;
  #keptChars = 0;

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  /** What is new since the last piece, which counts as kept from now on; undefined where nothing is. */
  next(): Checkpoint | undefined {
    const text = this.#turn.text;
    const end = endsWithHalf(text) ? text.length - 1 : text.length;
    if (end <= this.#keptChars) return undefined;
    const piece = text.slice(this.#keptChars, end);
    this.#keptChars = end;
    return { turnId: this.#turn.query.turnId, number: ++this.#pieces, text: piece };
  }

  /** Nobody knows whether a piece was kept: the next one is the whole text. */
  startOver(): void {
    this.#pieces = 0;
    this.#keptChars = 0;
  }
}

/** A high surrogate at the end: its other half is still to come. */
function endsWithHalf(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff;
}

/** Restores what the server leaves out of `delta` and `reasoning` frames for a client that asked for `deltas=short`. */

import type { DeltaFrame, ReasoningFrame, ServerFrame, ShortFrame } from "./frames.ts";

/** Turns whose ids are kept. A connection rarely gets text of more than one turn at a time. */
const MAX_TURNS = 100;

type TurnIds = Pick<DeltaFrame, "turn_id" | "in_reply_to">;
type Piece = DeltaFrame | ReasoningFrame;

/** The turns of one connection, by their `ref`. */
export class ShortDeltas {
  readonly #turns = new Map<number, TurnIds>();

  /**
   * Returns the frame as a server without short deltas sends it; undefined if its turn is unknown. `at` is the time of
   * receipt, in milliseconds since the epoch: a short frame has no time of its own.
   */
  restore(frame: ServerFrame | ShortFrame, at: number): ServerFrame | undefined {
    if ((frame.type !== "delta" && frame.type !== "reasoning") || frame.ref === undefined) {
      return frame as ServerFrame;
    }
    const { ref, ...piece } = frame;
    if ("turn_id" in piece) {
      this.#keep(ref, piece);
      return piece;
    }
    const ids = this.#turns.get(ref);
    return ids && { ...piece, ...ids, timestamp: new Date(at).toISOString() } as Piece;
  }

  #keep(ref: number, { turn_id, in_reply_to }: TurnIds): void {
    this.#turns.set(ref, { turn_id, in_reply_to });
    if (this.#turns.size <= MAX_TURNS) return;
    for (const oldest of this.#turns.keys()) return void this.#turns.delete(oldest);
  }
}

/**
 * Sends the text of a running answer to other workers, within the limits of the relay: text that grows while the relay is busy
 * goes as one piece.
 */

import type { CallSource, SessionCall } from "../protocol/session_call.ts";
import { runningTurn, type SessionState } from "./core/state.ts";

/** Longest piece, in UTF-16 units. As JSON it has at most six times as many bytes, which must fit into a message. */
const MAX_PIECE_CHARS = 19_000;

type Piece = Extract<SessionCall, { kind: "tail" }>;

export class TailSender {
  /** Read, never changed. */
  readonly #state: SessionState;
  readonly #offer: (source: CallSource) => void;
  /** Offset of the next piece, in UTF-16 units; undefined if nothing is pending. */
  #next: { turnId: string; epoch: number; from: number } | undefined;
  #isOffered = false;

  constructor(state: SessionState, offer: (source: CallSource) => void) {
    this.#state = state;
    this.#offer = offer;
  }

  /** Sends a piece of a turn, with the text that is added until it can be sent. */
  send({ turnId, epoch, offset }: Pick<Piece, "turnId" | "epoch" | "offset">): void {
    const next = this.#next;
    if (next?.turnId === turnId && next.epoch === epoch) next.from = Math.min(next.from, offset);
    else this.#next = { turnId, epoch, from: offset };
    if (this.#isOffered) return;
    this.#isOffered = true;
    let made: Piece | undefined;
    this.#offer({
      make: () => {
        this.#isOffered = false;
        return made = this.#make();
      },
      onFailed: () => {
        if (made !== undefined) this.send(made);
      },
    });
  }

  /** Undefined once the turn has ended or was released: the log has the rest. */
  #make(): Piece | undefined {
    const next = this.#next;
    this.#next = undefined;
    const running = runningTurn(this.#state);
    const { lease } = this.#state;
    if (next === undefined || running?.query.turnId !== next.turnId) return undefined;
    if (lease.name !== "held" || lease.epoch !== next.epoch) return undefined;
    const { turnId, queryId } = running.query;
    const { epoch, from: offset } = next;
    const content = running.text.slice(offset, offset + MAX_PIECE_CHARS);
    // An empty piece at offset 0 announces that the answer has begun.
    if (content === "" && offset > 0) return undefined;
    const end = offset + content.length;
    // The next piece is only offered once this one was sent.
    if (end < running.text.length) queueMicrotask(() => this.send({ turnId, epoch, offset: end }));
    return { kind: "tail", epoch, restarts: running.restarts, turnId, queryId, offset, content };
  }
}

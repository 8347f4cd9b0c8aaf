/**
 * Text of a running answer for other workers, within the limits of the relay: what grew meanwhile goes as one piece, when the
 * relay can take one.
 */

import type { CallSource, SessionCall } from "../protocol/session_call.ts";
import { runningTurn, type SessionState } from "./core/state.ts";

/** A piece is no longer than this, in UTF-16 units: as JSON it has at most six times as many bytes, and has to fit. */
const MAX_PIECE_CHARS = 19_000;

type Piece = Extract<SessionCall, { kind: "tail" }>;

export class TailSender {
  /** Read, never changed. */
  readonly #state: SessionState;
  readonly #offer: (source: CallSource) => void;
  /** From where the next piece goes, in UTF-16 units; undefined where nothing is to be sent. */
  #next: { turnId: string; epoch: number; from: number } | undefined;
  #isOffered = false;

  constructor(state: SessionState, offer: (source: CallSource) => void) {
    this.#state = state;
    this.#offer = offer;
  }

  /** Sends a piece of a turn, and what grows behind it until it is sent. */
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

  /** Undefined once the turn has ended or is another worker's: the log has the rest. */
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
    // An empty one from the start says that the answer has begun.
    if (content === "" && offset > 0) return undefined;
    const end = offset + content.length;
    // The next one cannot be offered before this one is out.
    if (end < running.text.length) queueMicrotask(() => this.send({ turnId, epoch, offset: end }));
    return { kind: "tail", epoch, turnId, queryId, offset, content };
  }
}

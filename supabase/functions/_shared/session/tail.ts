/**
 * Deltas between workers: who shows an answer to clients, but does not write it, asks for its pieces; who writes it sends
 * them for as long as somebody asks.
 */

import type { Turn } from "../agent/turn.ts";
import type { Clock } from "../ports.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { renderThinking } from "../protocol/render.ts";
import type { Feed } from "./feed.ts";
import { RemoteTurn, type TailPiece } from "./remote_turn.ts";
import type { Tenure } from "./tenure.ts";

/** For so long after it was asked for the last time the tail is sent. Who waits asks once a lease. */
const WANTED_MS = 15_000;
/** So often a missing piece is asked for. */
const ASK_AGAIN_MS = 250;
/** A piece is no longer than this, in UTF-16 units: it has to fit a message of the relay. */
const MAX_PIECE_CHARS = 50_000;

export interface TailOptions {
  clock: Clock;
  feed: Feed;
  tenure: Tenure;
  /** Tells the other workers that hold the session. */
  call(call: SessionCall): void;
}

export class Tail {
  readonly #options: TailOptions;
  #wantedUntil = 0;
  #askedAt = -Infinity;
  #remote: RemoteTurn | undefined;

  constructor(options: TailOptions) {
    this.#options = options;
  }

  /** The answer that another worker writes, as far as it is known. */
  get remote(): RemoteTurn | undefined {
    return this.#remote;
  }

  /** Somebody else asks: `running` is the turn of this worker. */
  wanted(running: Turn | undefined): void {
    this.#wantedUntil = this.#options.clock.now() + WANTED_MS;
    if (running !== undefined) this.send(running, 0);
  }

  /** Sends what the turn has from `offset` on, if anybody wants it. */
  send(turn: Turn, offset: number): void {
    const { clock, call, tenure: { state } } = this.#options;
    // Before the lease is ours nobody could tell our pieces from those of another: they will ask for what they miss.
    if (state.name !== "self" || clock.now() >= this.#wantedUntil) return;
    const { query: { turnId, queryId }, text } = turn;
    let start = offset;
    do {
      const content = text.slice(start, start + MAX_PIECE_CHARS);
      call({ kind: "tail", epoch: state.epoch, turnId, queryId, offset: start, content });
      start += MAX_PIECE_CHARS;
    } while (start < text.length);
  }

  /** Asks whoever writes the answer, if anybody here is shown deltas. */
  ask(): void {
    const { clock, call, feed } = this.#options;
    if (clock.now() - this.#askedAt < ASK_AGAIN_MS) return;
    if (![...feed.connections].some((connection) => connection.wantsDeltas)) return;
    this.#askedAt = clock.now();
    call({ kind: "tail_wanted" });
  }

  /** A piece has come from another worker. */
  take(piece: TailPiece): void {
    const { clock, feed, tenure } = this.#options;
    // What comes from a worker that has lost its lease, and does not know it yet, is nobody's answer any more.
    if (tenure.state.name === "self" || piece.epoch < (this.#remote?.epoch ?? 0)) return;
    if (this.#remote?.turnId !== piece.turnId || this.#remote.epoch !== piece.epoch) {
      const isNews = this.#remote?.turnId !== piece.turnId;
      this.forget();
      this.#remote = new RemoteTurn(clock, piece);
      if (isNews && piece.offset === 0) feed.broadcast(renderThinking(piece, clock.now()));
    }
    if (!this.#remote.take(piece, feed.connections)) this.ask();
  }

  /** The turn has ended, or is this worker's now. */
  forget(): void {
    if (this.#remote === undefined) return;
    this.#remote = undefined;
    for (const connection of this.#options.feed.connections) connection.dropHeldDeltas();
  }
}

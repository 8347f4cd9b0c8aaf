/**
 * Deltas between workers: who shows an answer to clients, but does not write it, asks for its pieces; who writes it sends
 * them for as long as somebody asks.
 */

import type { Turn } from "../agent/turn.ts";
import type { Clock } from "../ports.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { renderThinking } from "../protocol/render.ts";
import type { Connection } from "./connection.ts";
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
  /** By turn; a piece of the next one may come before the end of the last one was read. Made with the first. */
  #remotes: Map<string, RemoteTurn> | undefined;

  constructor(options: TailOptions) {
    this.#options = options;
  }

  /** The answer that another worker writes, as far as it is known. */
  get remote(): RemoteTurn | undefined {
    return [...this.#all].at(-1);
  }

  /** Whether anything of a turn was shown here. */
  hasShown(turnId: string): boolean {
    return this.#remotes?.has(turnId) ?? false;
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
    if (tenure.state.name === "self") return;
    let remote = this.#remotes?.get(piece.turnId);
    if (remote === undefined) {
      remote = new RemoteTurn(clock, piece);
      (this.#remotes ??= new Map()).set(piece.turnId, remote);
      if (piece.offset === 0) feed.broadcast(renderThinking(piece, clock.now()));
    }
    if (!remote.take(piece, feed.connections)) this.ask();
  }

  /** Sends all there is of what others write to a connection that has something else, or nothing yet. */
  announceTo(connection: Connection): void {
    for (const remote of this.#all) remote.announceTo(connection);
  }

  /** The log has a turn's end. */
  ended(event: TerminalEvent): void {
    const remote = this.#remotes?.get(event.turnId);
    if (remote === undefined) return;
    const { connections } = this.#options.feed;
    remote.end(event.kind === "response" ? event.content : event.partial, connections);
    this.#remotes?.delete(event.turnId);
  }

  /** All that was another worker's is this one's now. */
  forget(): void {
    for (const remote of this.#all) remote.drop(this.#options.feed.connections);
    this.#remotes = undefined;
  }

  get #all(): Iterable<RemoteTurn> {
    return this.#remotes?.values() ?? [];
  }
}

/**
 * Deltas between workers: who shows an answer to clients, but does not write it, asks for its pieces; who writes it sends
 * them for as long as somebody asks.
 */

import type { Turn } from "../agent/turn.ts";
import type { Clock } from "../ports.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import type { CallSource, SessionCall } from "../protocol/session_call.ts";
import { renderThinking } from "../protocol/render.ts";
import type { Connection } from "./connection.ts";
import type { Feed } from "./feed.ts";
import { RemoteTurn, type TailPiece } from "./remote_turn.ts";
import type { Tenure } from "./tenure.ts";

/** For so long after it was asked for the last time the tail is sent. Who waits asks once a lease. */
const WANTED_MS = 15_000;
/** So often a missing piece is asked for. */
const ASK_AGAIN_MS = 250;
/** A piece is no longer than this, in UTF-16 units: as JSON it has at most six times as many bytes, and has to fit. */
const MAX_PIECE_CHARS = 19_000;

type TailWanted = Extract<SessionCall, { kind: "tail_wanted" }>;

/** How much of this worker's answer the others have been sent. */
interface Sent {
  readonly turn: Turn;
  readonly epoch: number;
  /** In UTF-16 units; undefined before the first piece, which tells the start even where it is empty. */
  upTo: number | undefined;
}

export interface TailDeps {
  clock: Clock;
  /** Tells the other workers that hold the session; best effort. */
  call(sessionId: string, call: SessionCall): void;
  /** The same of what grows while it waits: of a session there is one at a time. */
  offer(sessionId: string, source: CallSource): void;
}

export interface TailOptions {
  deps: TailDeps;
  sessionId: string;
  feed: Feed;
  tenure: Tenure;
}

export class Tail {
  readonly #options: TailOptions;
  #wantedUntil = 0;
  #askedAt = -Infinity;
  #sent: Sent | undefined;
  /** A piece will be asked for. */
  #isOffered = false;
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

  /** Somebody else asks, and says how much they have: `running` is the turn of this worker. */
  wanted(running: Turn | undefined, have?: TailWanted["have"]): void {
    const { deps: { clock }, tenure: { state } } = this.#options;
    this.#wantedUntil = clock.now() + WANTED_MS;
    if (running === undefined) return;
    const knows = state.name === "self" && have?.epoch === state.epoch &&
      have.turnId === running.query.turnId;
    this.send(running, knows ? have.offset : undefined);
  }

  /** Sends what the turn has from `offset` on, and all where there is none, if anybody wants it: soon, and all at once. */
  send(turn: Turn, offset: number | undefined): void {
    const { deps, sessionId, tenure: { state } } = this.#options;
    // Before the lease is ours nobody could tell our pieces from those of another: they get all once it is.
    if (state.name !== "self" || deps.clock.now() >= this.#wantedUntil) return;
    let sent = this.#sent;
    if (sent?.turn !== turn || sent.epoch !== state.epoch) {
      sent = this.#sent = { turn, epoch: state.epoch, upTo: undefined };
    } else if (offset === undefined) sent.upTo = undefined;
    else if (sent.upTo !== undefined && offset < sent.upTo) sent.upTo = offset;
    if (this.#isOffered) return;
    this.#isOffered = true;
    let made: Sent | undefined;
    let from: number | undefined;
    deps.offer(sessionId, {
      make: () => {
        this.#isOffered = false;
        made = this.#sent;
        from = made?.upTo;
        return this.#piece();
      },
      onFailed: () => {
        if (made !== undefined && made === this.#sent) this.send(made.turn, from);
      },
    });
  }

  /** Asks whoever writes the answer, if anybody here is shown deltas. */
  ask(): void {
    const { deps: { clock, call }, sessionId, feed } = this.#options;
    if (clock.now() - this.#askedAt < ASK_AGAIN_MS) return;
    if (![...feed.connections].some((connection) => connection.wantsDeltas)) return;
    this.#askedAt = clock.now();
    const have = this.remote?.have;
    call(sessionId, { kind: "tail_wanted", ...(have && { have }) });
  }

  /**
   * A piece has come from another worker. It is hidden while the turn is shown as it runs here: which of the two goes on is
   * not known yet, and a text made of both would be neither's.
   */
  take(piece: TailPiece, { isHidden = false } = {}): void {
    const { deps: { clock }, feed, tenure } = this.#options;
    if (tenure.state.name === "self") return;
    let remote = this.#remotes?.get(piece.turnId);
    if (remote === undefined) {
      remote = new RemoteTurn(clock, piece);
      (this.#remotes ??= new Map()).set(piece.turnId, remote);
      if (piece.offset === 0 && !isHidden) feed.broadcast(renderThinking(piece, clock.now()));
    }
    if (!remote.take(piece, isHidden ? [] : feed.connections)) this.ask();
  }

  /** Sends all there is of what others write to a connection that has something else, or nothing yet. */
  announceTo(connection: Connection): void {
    for (const remote of this.#all) remote.announceTo(connection);
  }

  /** The log has a turn's end. */
  ended(event: TerminalEvent): void {
    if (this.#sent?.turn.query.turnId === event.turnId) this.#sent = undefined;
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

  /** What the others do not have yet; nothing once the turn's end is in the log, where they find it. */
  #piece(): SessionCall | undefined {
    const { deps: { clock }, tenure: { state } } = this.#options;
    const sent = this.#sent;
    if (sent === undefined || clock.now() >= this.#wantedUntil) return undefined;
    const { turn: { query: { turnId, queryId }, text }, epoch, upTo } = sent;
    if (state.name !== "self" || state.epoch !== epoch) return undefined;
    const offset = upTo ?? 0;
    const content = text.slice(offset, offset + MAX_PIECE_CHARS);
    if (content === "" && upTo !== undefined) return undefined;
    sent.upTo = offset + content.length;
    // The rest goes with the next one, which cannot be offered before this one is out.
    if (sent.upTo < text.length) queueMicrotask(() => this.send(sent.turn, text.length));
    return { kind: "tail", epoch, turnId, queryId, offset, content };
  }

  get #all(): Iterable<RemoteTurn> {
    return this.#remotes?.values() ?? [];
  }
}

/** All that one worker knows of one session. Plain data with one owner: `step` changes it, nothing else does. */

import type { ContinuePolicy } from "../../config.ts";
import type { Committed, LogWrite, OpenTurn, StopRequest } from "../../ports/event_log.ts";
import type { QueryOptions } from "../../protocol/client_frames.ts";
import type { ClearedEvent, ConfiguredEvent, NotificationEvent } from "../../protocol/log_event.ts";
import type { Effect } from "./effect.ts";
import { emptyHistory, type History } from "./history.ts";
import type { LeaseView } from "./lease.ts";
import type { EndedTurn, ProposedTurn, RunningTurn, Turn } from "./turn.ts";

export interface CoreSettings {
  /** Messages of a prompt without the system's. */
  maxHistory: number;
  /** Events that the store keeps of a session. */
  maxEvents: number;
  /** Turns that may wait; 0 for any number. */
  maxQueue: number;
  continuePolicy: ContinuePolicy;
  /** How often a running answer is put down, in milliseconds; Infinity where no other worker could go on. */
  checkpointMs: number;
  /** How long a lease lasts that is not renewed, in milliseconds. */
  leaseMs: number;
  /** A lease is renewed after so long without a write, in milliseconds. */
  renewLeaseMs: number;
}

/** Whether queries are taken. */
export type Life =
  | { name: "open" }
  /** The running turn may finish until `deadline`, in milliseconds since the epoch; no other starts. */
  | { name: "draining"; deadline: number; leave: "interrupt" | "hand_over" }
  /** Its time is over: it goes to another worker with the next write. */
  | { name: "leaving" }
  | { name: "gone" };

/** How far this worker has read the log. Every event up to `lastSeq` was folded and shown. */
export interface LogView {
  lastSeq: number;
  /** There is at least this much in the log. Above `lastSeq` a read is in flight, or due at `retryAt`. */
  wantedSeq: number;
  reading: { name: "idle"; retryAt: number } | { name: "in_flight"; wantedSeq: number };
}

export interface ConnectionView {
  id: string;
  wantsDeltas: boolean;
  /**
   * Until when its client may send again what it sent to another worker, and this one has not read yet; in milliseconds since
   * the epoch.
   */
  mayRepeatUntil: number;
  /** The newest `seq` it was shown. */
  cursor: number;
  replay: Replay;
}

/** A query whose answer carries a `seq`, so that it waits for the end of the replay. */
export interface Owed {
  queryId: string;
  /** What its client may have been shown when it sent it: an end behind that is the answer, and comes with the replay. */
  seenSeq: number;
}

export type Replay =
  | { name: "live" }
  /** It has seen more than this worker has read. */
  | { name: "ahead"; owed: Owed[] }
  | { name: "reading"; owed: Owed[] }
  /** `upTo`: the newest `seq` of the page that it is being sent. */
  | { name: "sending"; owed: Owed[]; upTo: number };

/** Something that a client wants written; they are written in this order. */
export type Intent =
  | { kind: "ask"; queryId: string; stop: StopRequest | undefined; onlyIfIdle: boolean }
  /** `reached`: queries of this worker that were stopped without the store. `wish` is undefined where nobody waits. */
  | { kind: "stop"; wish: string | undefined; stop: StopRequest; reached: readonly string[] }
  | { kind: "append"; wish: string; event: ClearedEvent | ConfiguredEvent | NotificationEvent }
  | { kind: "touch" };

/** What a running turn's write brings to the store. */
export interface Progress {
  queryId: string;
  pieces: number;
  chars: number;
}

/**
 * The one write that is in flight. The next is composed when this one is settled, from what the state wants then, so there is
 * never a second one whose outcome could depend on the first.
 */
export interface Flight {
  number: number;
  write: LogWrite;
  sentAt: number;
  intents: Intent[];
  /** Queries of the turns whose ends it brings. */
  ends: readonly string[];
  /** The query whose turn it says has begun. */
  started: string | undefined;
  progress: Progress | undefined;
  /** Set once it was committed, until the log is read as far as the write has brought it. */
  answer: Committed | undefined;
}

export interface SessionState {
  readonly settings: CoreSettings;
  life: Life;
  lease: LeaseView;
  log: LogView;
  /** Turns without a terminal event, by query id. */
  turns: Map<string, Turn>;
  /** Turns with one, by query id, oldest first; as many as the log keeps. */
  ended: Map<string, EndedTurn>;
  /** UTF-16 units of the questions in `ended`. */
  endedChars: number;
  connections: Map<string, ConnectionView>;
  /** What is to be written, oldest first. */
  intents: Intent[];
  flight: Flight | undefined;
  /** What the last claim has brought, until the log is read that far. */
  inherited: readonly OpenTurn[];
  history: History;
  /** What queries fall back on: a fold over `configured` events. */
  defaults: QueryOptions;
  /** The turn that was asked or ended last; undefined before the first. */
  lastTurnId: string | undefined;
  lastCall: number;
  lastWrite: number;
  /** How many turns of higher lanes went first while each lane waited: high, normal, low. */
  skips: [number, number, number];
  /** Until when another worker wants the running answer's text, in milliseconds since the epoch. */
  tailWantedUntil: number;
  /** When this worker asked for another's text last. */
  tailAskedAt: number;
}

/** What a step works on: the state, the time, and the effects so far. */
export interface Step {
  readonly state: SessionState;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly effects: Effect[];
}

/** A session that has just been made. */
export function newSession(settings: CoreSettings): SessionState {
  return {
    settings,
    life: { name: "open" },
    lease: { name: "free", epoch: 0 },
    log: { lastSeq: 0, wantedSeq: 0, reading: { name: "idle", retryAt: 0 } },
    turns: new Map(),
    ended: new Map(),
    endedChars: 0,
    connections: new Map(),
    intents: [],
    flight: undefined,
    inherited: [],
    history: emptyHistory(settings.maxHistory),
    defaults: {},
    lastTurnId: undefined,
    lastCall: 0,
    lastWrite: 0,
    skips: [0, 0, 0],
    tailWantedUntil: 0,
    tailAskedAt: 0,
  };
}

/** Connections that have been shown everything, but for one. */
export function liveConnections({ connections }: SessionState, exceptId?: string): string[] {
  const ids: string[] = [];
  for (const { id, replay } of connections.values()) {
    if (replay.name === "live" && id !== exceptId) ids.push(id);
  }
  return ids;
}

/** Whether turns of this session may be run here: the lease is held, and not being given up. */
export function mayRun({ lease, flight }: SessionState): boolean {
  return lease.name === "held" && flight?.write.lease !== "release";
}

/**
 * Whether no other worker can have the lease: what this worker does not run does not run, and what it does not know of waits.
 * One that was not renewed in time may have been taken, and its holder has not heard of it.
 */
export function isSureHolder({ state, now }: Step): boolean {
  const { lease, settings } = state;
  if (lease.name !== "held" || now - lease.renewedAt >= settings.leaseMs) return false;
  return mayRun(state) && !isSettling(state) && isUpToDate(state);
}

/** Whether everything that is known to be in the log was read. What is next is not decided before. */
export function isUpToDate({ log }: SessionState): boolean {
  return log.wantedSeq <= log.lastSeq;
}

/** Whether the answer to the write in flight is waiting for the log to be read. */
export function isSettling({ flight }: SessionState): boolean {
  return flight?.answer !== undefined;
}

export function runningTurn({ turns }: SessionState): RunningTurn | undefined {
  for (const turn of turns.values()) if (turn.phase === "running") return turn;
  return undefined;
}

/** The question for which the model was asked before it is in the log. */
export function callingTurn({ turns }: SessionState): ProposedTurn | undefined {
  for (const turn of turns.values()) {
    if (turn.phase === "proposed" && turn.attempt.name === "calling") return turn;
  }
  return undefined;
}

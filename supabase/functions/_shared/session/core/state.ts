/** The state of one session at one worker. Plain data that only `step` changes. */

import type { ContinuePolicy } from "../../config.ts";
import type { Committed, LogWrite, OpenTurn, StopRequest } from "../../ports/event_log.ts";
import type { QueryOptions } from "../../protocol/client_frames.ts";
import type { ClearedEvent, ConfiguredEvent, NotificationEvent } from "../../protocol/log_event.ts";
import type { ApprovalDecidedEvent, ToolResultEvent } from "../../protocol/tool_events.ts";
import type { Effect } from "./effect.ts";
import { emptyHistory, type History } from "./history.ts";
import { emptyMap, type LazyMap } from "./lazy_map.ts";
import type { LeaseView } from "./lease.ts";
import type { Surroundings, Thread } from "./thread.ts";
import type { ActingTurn, EndedTurn, ProposedTurn, RunningTurn, Turn } from "./turn.ts";

export interface CoreSettings {
  /** Messages of a prompt, not counting the system prompt. */
  maxHistory: number;
  /** Events that the store keeps of a session. */
  maxEvents: number;
  /** Turns that may wait; 0 for any number. */
  maxQueue: number;
  continuePolicy: ContinuePolicy;
  /** Time between checkpoints of a running answer, in milliseconds; Infinity if no other worker could continue it. */
  checkpointMs: number;
  /** How long a lease lasts without renewal, in milliseconds. */
  leaseMs: number;
  /** A lease is renewed after this long without a write, in milliseconds. */
  renewLeaseMs: number;
  /** How long a tool call waits for a person, a client or the user, in milliseconds. */
  approvalMs: number;
}

/** Whether queries are accepted. */
export type Life =
  | { name: "open" }
  /** The running turn may finish until `deadline`, in milliseconds since the epoch; no other starts. */
  | { name: "draining"; deadline: number; leave: "interrupt" | "hand_over" }
  /** The deadline has passed: the next write hands the session over to another worker. */
  | { name: "leaving" }
  | { name: "gone" };

/** How far this worker has read the log. Every event up to `lastSeq` was folded and shown. */
export interface LogView {
  lastSeq: number;
  /** The log reaches at least to this `seq`. If it is above `lastSeq`, a read is in flight, or due at `retryAt`. */
  wantedSeq: number;
  reading: { name: "idle"; retryAt: number } | { name: "in_flight"; wantedSeq: number };
}

export interface ConnectionView {
  id: string;
  wantsDeltas: boolean;
  wantsReasoning: boolean;
  /**
   * Until when its client may repeat a query that it sent to another worker and that this worker has not read yet, in
   * milliseconds since the epoch.
   */
  mayRepeatUntil: number;
  /** The newest `seq` that it was shown. */
  cursor: number;
  replay: Replay;
}

/** A query whose answer has a `seq`, and therefore waits for the end of the replay. */
export interface Owed {
  queryId: string;
  /** The newest `seq` its client may have been shown when it sent the query. A later terminal event is the answer, and is part of the replay. */
  seenSeq: number;
}

export type Replay =
  | { name: "live" }
  /** Its cursor is beyond what this worker has read. */
  | { name: "ahead"; owed: Owed[] }
  | { name: "reading"; owed: Owed[] }
  /** `upTo`: the newest `seq` of the page that is being sent. */
  | { name: "sending"; owed: Owed[]; upTo: number };

/** A client request that needs a write. They are written in order. */
export type Intent =
  | { kind: "ask"; queryId: string; stop: StopRequest | undefined; onlyIfIdle: boolean }
  /** `reached`: queries of this worker that were already stopped. `wish`: undefined if no client waits for the result. */
  | { kind: "stop"; wish: string | undefined; stop: StopRequest; reached: readonly string[] }
  | { kind: "append"; wish: string; event: ClearedEvent | ConfiguredEvent | NotificationEvent }
  /** What somebody has decided about a tool call, or a client's result of one. */
  | { kind: "settle_call"; wish: string; event: ApprovalDecidedEvent | ToolResultEvent }
  | { kind: "touch" };

/** What the store has of a running turn after the write. */
export interface Progress {
  queryId: string;
  pieces: number;
  chars: number;
}

/**
 * The one write in flight. The next is composed from the state once this one is settled, so no write ever depends on another
 * whose outcome is unknown.
 */
export interface Flight {
  number: number;
  write: LogWrite;
  sentAt: number;
  intents: Intent[];
  /** Queries whose terminal events it contains. */
  ends: readonly string[];
  /** The query whose tool calls, starts or results it contains. */
  acts: string | undefined;
  /** The query whose turn it announces as begun. */
  started: string | undefined;
  progress: Progress | undefined;
  /** Set once it was committed, until the log is read up to its events. */
  answer: Committed | undefined;
}

export interface SessionState {
  readonly settings: CoreSettings;
  life: Life;
  lease: LeaseView;
  log: LogView;
  /** Turns without a terminal event in the log, by query id. */
  turns: LazyMap<string, Turn>;
  /** The steps of open turns that have called tools, by turn id. */
  threads: LazyMap<string, Thread>;
  /** Calls of open turns that have run here: none that must not run twice is run again. */
  acted: LazyMap<string, true>;
  /** Turns with a terminal event in the log, by query id, oldest first; as many as the log keeps. */
  ended: Map<string, EndedTurn>;
  /** UTF-16 units of the questions in `ended`. */
  endedChars: number;
  connections: Map<string, ConnectionView>;
  /** Client requests to write, oldest first. */
  intents: Intent[];
  flight: Flight | undefined;
  /** The open turns from the last claim, until the log is read up to them. */
  inherited: readonly OpenTurn[];
  history: History;
  /** Default options of queries: a fold over `configured` events. */
  defaults: QueryOptions;
  /** The turn that was asked or ended most recently; undefined before the first. */
  lastTurnId: string | undefined;
  lastCall: number;
  lastWrite: number;
  /** How often each waiting lane was skipped: high, normal, low. */
  skips: [number, number, number];
  /** Until when another worker wants the text of the running answer, in milliseconds since the epoch. */
  tailWantedUntil: number;
  /** When this worker last asked for another worker's text, in milliseconds since the epoch. */
  tailAskedAt: number;
}

/** The context of one step: the state, the time, and the effects so far. */
export interface Step {
  readonly state: SessionState;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly effects: Effect[];
}

/** The state of a new session. */
export function newSession(settings: CoreSettings): SessionState {
  return {
    settings,
    life: { name: "open" },
    lease: { name: "free", epoch: 0 },
    log: { lastSeq: 0, wantedSeq: 0, reading: { name: "idle", retryAt: 0 } },
    turns: emptyMap(),
    threads: emptyMap(),
    acted: emptyMap(),
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

/** Ids of the live connections, except one. */
export function liveConnections({ connections }: SessionState, exceptId?: string): string[] {
  const ids: string[] = [];
  for (const { id, replay } of connections.values()) {
    if (replay.name === "live" && id !== exceptId) ids.push(id);
  }
  return ids;
}

/** Whether this worker may run turns: it holds the lease and is not releasing it. */
export function mayRun({ lease, flight }: SessionState): boolean {
  return lease.name === "held" && flight?.write.lease !== "release";
}

/**
 * Whether no other worker can have the lease, so that no turn runs but this worker's. A lease that was not renewed in time may
 * have been taken without this worker knowing.
 */
export function isSureHolder(step: Step): boolean {
  const { state } = step;
  return hasFreshLease(step) && mayRun(state) && !isSettling(state) && isUpToDate(state);
}

/** Whether the lease was renewed recently enough that no other worker can have it. */
export function hasFreshLease({ state: { lease, settings }, now }: Step): boolean {
  return lease.name === "held" && now - lease.renewedAt < settings.leaseMs;
}

/** Whether everything known to be in the log was read. The next turn is only chosen then. */
export function isUpToDate({ log }: SessionState): boolean {
  return log.wantedSeq <= log.lastSeq;
}

/** Whether the write in flight is committed and waits for the log to be read up to it. */
export function isSettling({ flight }: SessionState): boolean {
  return flight?.answer !== undefined;
}

export function runningTurn({ turns }: SessionState): RunningTurn | undefined {
  for (const turn of turns.values()) if (turn.phase === "running") return turn;
  return undefined;
}

export function actingTurn({ turns }: SessionState): ActingTurn | undefined {
  for (const turn of turns.values()) if (turn.phase === "acting") return turn;
  return undefined;
}

/** What decides whether tool calls can go on. */
export function surroundingsOf({ state: { connections }, now }: Pick<Step, "state" | "now">): Surroundings {
  return { hasUser: connections.size > 0, now };
}

/** The turn with an early model call. */
export function callingTurn({ turns }: SessionState): ProposedTurn | undefined {
  for (const turn of turns.values()) {
    if (turn.phase === "proposed" && turn.attempt.name === "calling") return turn;
  }
  return undefined;
}

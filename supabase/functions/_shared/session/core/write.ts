/**
 * Composes the next write: terminal events, starts and checkpoints of this worker's turns, client requests, and the change of
 * the lease. One write is in flight at a time, so each is composed when the outcome of the one before is known.
 */

import type {
  Checkpoint,
  ClaimingWrite,
  GuestWrite,
  HolderWrite,
  StopRequest,
} from "../../ports/event_log.ts";
import type { NewLogEvent } from "../../protocol/log_event.ts";
import { abortActs, isAtRest, nextActs, resultsAtEnd } from "./act.ts";
import { stepLease } from "./lease.ts";
import { hasWork, nextStart } from "./waiting.ts";
import { put } from "./put.ts";
import { loseCall, nextCheckpoint } from "./run.ts";
import {
  actingTurn,
  callingTurn,
  type Flight,
  type Intent,
  isUpToDate,
  mayRun,
  type Progress,
  runningTurn,
  type SessionState,
  type Step,
} from "./state.ts";
import {
  type ActingTurn,
  type EndingTurn,
  type ProposedTurn,
  remoteTurn,
  type RunningTurn,
  toEvent,
} from "./turn.ts";

/** Sends the next write if there is something to write and no write in flight. */
export function sendWrite(step: Step): void {
  const { state, now } = step;
  if (state.flight !== undefined || state.life.name === "gone") return;
  if (state.lease.name === "in_doubt") {
    if (now >= state.lease.retryAt || isAwaited(state)) sendFence(step);
    return;
  }
  let isLapsed = false;
  if (state.lease.name === "other" && now >= state.lease.until && hasOpenTurns(state)) {
    // Its holder may have left something undone that this worker does not know of.
    isLapsed = true;
    state.lease = stepLease(state.lease, { kind: "lapsed" });
  }
  const draft = state.lease.name === "held"
    ? draftAsHolder(step, state.lease.epoch)
    : draftAsGuest(step, isLapsed);
  if (draft !== undefined) send(step, draft);
}

/** Whether a client waits for a write in doubt. When a fence fails they are all refused, so the next one is not urgent. */
function isAwaited({ intents, turns }: SessionState): boolean {
  for (const turn of turns.values()) if (turn.phase === "proposed" && turn.askers.length > 0) return true;
  return intents.some((intent) =>
    intent.kind === "append" || intent.kind === "stop" && intent.wish !== undefined
  );
}

type Draft = Pick<Flight, "write" | "intents" | "ends" | "acts" | "started" | "progress">;

/**
 * Settles the outcome of every write before it: the store runs a worker's calls in the order of their numbers and refuses a
 * late one. The fence is a claim, so its answer also has all open turns.
 */
function sendFence(step: Step): void {
  const isWanted = step.state.life.name === "open" || hasOursOpen(step.state);
  send(step, {
    write: isWanted ? { lease: "claim" } : {},
    intents: [],
    ends: [],
    acts: undefined,
    started: undefined,
    progress: undefined,
  });
}

function send({ state, now, effects }: Step, draft: Draft): void {
  const number = ++state.lastWrite;
  state.flight = { ...draft, number, sentAt: now, answer: undefined };
  if (draft.write.lease === "claim") state.lease = stepLease(state.lease, { kind: "claim" });
  for (const intent of draft.intents) {
    const turn = intent.kind === "ask" ? state.turns.get(intent.queryId) : undefined;
    if (turn?.phase === "proposed") turn.write = "in_flight";
  }
  effects.push({ kind: "commit", number, write: draft.write });
}

/** A write under the lease's epoch: it may contain everything. */
function draftAsHolder(step: Step, epoch: number): Draft | undefined {
  const { state } = step;
  const { intents, events, stop } = takeIntents(state);
  const ends = endingTurns(state);
  const running = runningTurn(state);
  const acting = actingTurn(state);
  const active = running ?? acting;
  const handsOver = active !== undefined && state.life.name === "leaving";
  const calling = callingTurn(state);
  const isFree = (active ?? calling) === undefined && state.life.name === "open" && isUpToDate(state);
  const next = isFree && ends.length > 0 ? nextStart(step, broughtBy(state, intents)) : undefined;
  const proposed = isFree && ends.length === 0 ? soleProposal(state, intents) : undefined;
  const begun = calling !== undefined && isBrought(calling, intents) ? calling : undefined;
  const acts = acting === undefined ? [] : nextActs(step, acting, epoch);
  const starting = active?.kept.isStarted === false ? active : begun ?? next ?? proposed;
  const piece = running === undefined ? undefined : nextPiece(step, running, starting === running, handsOver);
  const isLast = handsOver || acts.length === 0 && !hasMore(step);
  const isRenewal = active !== undefined && isRenewalDue(step);
  const isNothing = intents.length === 0 && ends.length === 0 && acts.length === 0 &&
    starting === undefined && piece === undefined;
  if (isNothing && !isLast && !isRenewal) return undefined;
  const write: HolderWrite = { epoch };
  const written = [...ends.flatMap((turn) => [...resultsAtEnd(state, turn), turn.end]), ...acts, ...events];
  if (written.length > 0) write.events = written;
  if (starting !== undefined) write.startedTurnId = starting.query.turnId;
  if (piece !== undefined) write.checkpoint = piece.checkpoint;
  if (stop !== undefined) write.stop = stop;
  if (isLast) write.lease = "release";
  if (handsOver) letGo(step, active, epoch);
  return {
    write,
    intents,
    ends: ends.map(({ query }) => query.queryId),
    acts: acts.length > 0 ? acting?.query.queryId : undefined,
    started: starting?.query.queryId,
    progress: piece?.progress,
  };
}

/** A write without the lease: client requests, and a claim where one is possible. */
function draftAsGuest(step: Step, isLapsed: boolean): Draft | undefined {
  const { state } = step;
  const { intents, events, stop, onlyIfIdle } = takeIntents(state);
  const isOpen = state.life.name === "open";
  const asks = intents.some(({ kind }) => kind === "ask");
  // A stop, or a decision, gives the holder something to do for a turn that waits.
  const mayHaveWork = isLapsed || hasWork(step) || intents.some(isForWaiting) && state.turns.size > 0;
  const claims = isOpen && (asks || state.lease.name === "free" && mayHaveWork);
  if (intents.length === 0 && !claims) return undefined;
  const proposed = claims && state.lease.name === "free" ? soleProposal(state, intents) : undefined;
  const write: ClaimingWrite | GuestWrite = claims ? { lease: "claim" } : {};
  if (events.length > 0) write.events = events;
  if (write.lease === "claim" && proposed !== undefined) write.startedTurnId = proposed.query.turnId;
  if (stop !== undefined) write.stop = stop;
  if (onlyIfIdle) write.onlyIfIdle = true;
  const started = proposed?.query.queryId;
  return { write, intents, ends: [], acts: undefined, started, progress: undefined };
}

function isForWaiting({ kind }: Intent): boolean {
  return kind === "stop" || kind === "settle_call";
}

interface TakenIntents {
  intents: Intent[];
  events: NewLogEvent[];
  stop: StopRequest | undefined;
  onlyIfIdle: boolean;
}

/**
 * As many client requests as fit into one write, in order: at most one stop, and a query with `onlyIfIdle` alone, as the store
 * may refuse it.
 */
function takeIntents(state: SessionState): TakenIntents {
  const taken: TakenIntents = { intents: [], events: [], stop: undefined, onlyIfIdle: false };
  for (const intent of state.intents) {
    const stop = intent.kind === "ask" || intent.kind === "stop" ? intent.stop : undefined;
    if (stop !== undefined && taken.stop !== undefined) break;
    const isAlone = intent.kind === "ask" && intent.onlyIfIdle && !mayRun(state);
    if (isAlone && taken.intents.length > 0) break;
    taken.stop ??= stop;
    taken.intents.push(intent);
    if (intent.kind === "append" || intent.kind === "settle_call") taken.events.push(intent.event);
    const turn = intent.kind === "ask" ? state.turns.get(intent.queryId) : undefined;
    // It may be in the log already, or have been refused.
    if (turn?.phase === "proposed" && turn.seq === undefined) taken.events.push(toEvent(turn.query));
    taken.onlyIfIdle = isAlone;
    if (isAlone) break;
  }
  state.intents.splice(0, taken.intents.length);
  return taken;
}

/** The only open turn, if this write brings it to the log and it was not stopped. */
function soleProposal(state: SessionState, intents: readonly Intent[]): ProposedTurn | undefined {
  if (state.turns.size !== 1 || !isUpToDate(state)) return undefined;
  for (const turn of state.turns.values()) {
    if (turn.phase !== "proposed" || turn.attempt.name === "done") return undefined;
    return isBrought(turn, intents) ? turn : undefined;
  }
  return undefined;
}

function isBrought({ query: { queryId } }: ProposedTurn, intents: readonly Intent[]): boolean {
  return intents.some((intent) => intent.kind === "ask" && intent.queryId === queryId);
}

/** The turns whose questions a write brings to the log, and that may start with it. */
function broughtBy({ turns }: SessionState, intents: readonly Intent[]): ProposedTurn[] {
  const brought: ProposedTurn[] = [];
  for (const intent of intents) {
    const turn = intent.kind === "ask" ? turns.get(intent.queryId) : undefined;
    if (turn?.phase === "proposed" && turn.attempt.name === "none") brought.push(turn);
  }
  return brought;
}

interface Piece {
  checkpoint: Checkpoint;
  progress: Progress;
}

/** The text of a running turn that the store does not have, if a checkpoint is due or the turn is released. */
function nextPiece(
  { state, now }: Step,
  turn: RunningTurn,
  isStarting: boolean,
  isLast: boolean,
): Piece | undefined {
  // The store takes the checkpoint of a write before it starts the run, so it would count for the run before.
  if (isStarting && !isLast) return undefined;
  if (now < turn.checkpointAt && !isLast) return undefined;
  turn.checkpointAt = nextCheckpoint(now, state.settings.checkpointMs);
  const { text, kept: { pieces, chars }, query: { queryId, turnId } } = turn;
  const end = endsWithHalf(text) ? text.length - 1 : text.length;
  if (end <= chars) return undefined;
  return {
    checkpoint: { turnId, number: pieces + 1, text: text.slice(pieces === 0 ? 0 : chars, end) },
    progress: { queryId, pieces: pieces + 1, chars: end },
  };
}

/** Whether the text ends in a high surrogate, whose second half has not come yet. */
function endsWithHalf(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff;
}

/** Releases the running turn to the next worker with this write. */
function letGo(step: Step, turn: RunningTurn | ActingTurn, epoch: number): void {
  const { query, seq, restarts, text } = turn;
  if (turn.phase === "running") loseCall(step, turn);
  else abortActs(step, turn);
  put(step.state, { ...remoteTurn(query, seq), shown: { epoch, restarts, text } });
}

function endingTurns({ turns }: SessionState): EndingTurn[] {
  const ending: EndingTurn[] = [];
  for (const turn of turns.values()) if (turn.phase === "ending") ending.push(turn);
  return ending;
}

/** Whether the lease is still needed after a write with all pending terminal events. */
function hasMore(step: Step): boolean {
  const { turns, intents, life } = step.state;
  if (life.name === "open") return hasWork(step) || intents.some(({ kind }) => kind === "ask");
  for (const turn of turns.values()) {
    if (turn.phase === "running" || turn.phase === "acting" && !isAtRest(turn)) return true;
  }
  return false;
}

/** Turns that this worker still has to end. */
function hasOursOpen({ turns }: SessionState): boolean {
  for (const { phase } of turns.values()) {
    if (phase === "running" || phase === "acting" || phase === "ending") return true;
  }
  return false;
}

function hasOpenTurns({ turns, life }: SessionState): boolean {
  return life.name === "open" && turns.size > 0;
}

function isRenewalDue({ state: { lease, settings }, now }: Step): boolean {
  return settings.checkpointMs !== Infinity && lease.name === "held" &&
    now - lease.renewedAt >= settings.renewLeaseMs;
}

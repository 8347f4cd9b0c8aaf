/** The outcomes of a write: committed, rejected, or in doubt. */

import type { ErrorCode } from "../../errors.ts";
import type { Committed } from "../../ports/event_log.ts";
import type { LogEvent } from "../../protocol/log_event.ts";
import {
  type ApprovalDecidedEvent,
  isSameToolEvent,
  type ToolResultEvent,
} from "../../protocol/tool_events.ts";
import { refuseAskers } from "./ask.ts";
import type { WishResult } from "./effect.ts";
import { foldAnswer, isSameQuestion, retract } from "./fold.ts";
import { adoptTurns, stepTo } from "./holding.ts";
import { remove } from "./put.ts";
import { dropAttempt, startTurn } from "./run.ts";
import { type Flight, liveConnections, mayRun, type Step } from "./state.ts";
import { failActing, replaceEnd, stopTurn } from "./stop.ts";
import type { ActingTurn, RunningTurn } from "./turn.ts";

/** Delay before an unanswered fence is sent again, in milliseconds. */
const FENCE_RETRY_MS = 1000;

/** The write was committed. It is settled once the log was read up to the `seq` of the answer. */
export function takeCommitted(step: Step, number: number, answer: Committed): void {
  const { state, now } = step;
  const flight = flightOf(step, number);
  flight.answer = answer;
  // The writes that were in doubt may be in the log, and no other worker was told.
  if (state.lease.name === "in_doubt") {
    step.effects.push({ kind: "send", call: { kind: "appended", seq: answer.lastSeq } });
  }
  const claimed = answer.openTurns !== undefined;
  stepTo(step, { kind: "answered", lease: answer.lease, claimed, sentAt: flight.sentAt, now });
  if (answer.openTurns !== undefined) state.inherited = answer.openTurns;
  foldAnswer(step, answer);
}

/** Settles the answered write if the log was read up to it. */
export function settle(step: Step): void {
  const { state } = step;
  const { flight, log } = state;
  if (flight?.answer === undefined || log.lastSeq < flight.answer.lastSeq) return;
  const { answer } = flight;
  state.flight = undefined;
  settleDoubts(step);
  settleIntents(step, flight, answer);
  if (flight.progress !== undefined) keepProgress(step, flight);
  announceRelease(step, flight);
  if (mayRun(step.state)) {
    adoptTurns(step, answer);
    for (const { queryId, reason } of answer.stopped ?? []) {
      const turn = state.turns.get(queryId);
      if (turn !== undefined) stopTurn(step, turn, reason);
    }
    startPromised(step, flight);
  }
}

/** The write was rejected: nothing of it was done. */
export function takeRejected(step: Step, number: number, code: ErrorCode): void {
  const { state, effects, now } = step;
  const flight = flightOf(step, number);
  state.flight = undefined;
  if (code === "unknown_session") return void effects.push({ kind: "gone" });
  if (code === "lease_lost") {
    effects.push({ kind: "log", event: "lease_lost" });
    takeBack(step, flight);
    return stepTo(step, { kind: "lost" });
  }
  stepTo(step, { kind: "rejected" });
  refuseIntents(step, flight, code);
  if (code === "busy") return;
  effects.push({ kind: "log", event: "commit_rejected", code });
  for (const queryId of flight.ends) {
    const turn = state.turns.get(queryId);
    if (turn?.phase === "ending") replaceEnd(step, turn, code);
  }
  const acting = flight.acts === undefined ? undefined : state.turns.get(flight.acts);
  if (acting?.phase === "acting") failActing(step, acting, code);
  // Not at once: the store may refuse it again.
  stepTo(step, { kind: "doubt", retryAt: now + FENCE_RETRY_MS });
}

/** The outcome of the write is unknown, and it may still land. A fence settles it; nothing else is written before that. */
export function takeDoubt(step: Step, number: number): void {
  const { state, effects, now } = step;
  const wasFencing = state.lease.name === "in_doubt";
  const flight = flightOf(step, number);
  state.flight = undefined;
  if (!wasFencing) effects.push({ kind: "log", event: "commit_in_doubt" });
  stepTo(step, { kind: "doubt", retryAt: wasFencing ? now + FENCE_RETRY_MS : now });
  for (const turn of state.turns.values()) {
    if (turn.phase === "running" || turn.phase === "acting") doubt(turn, flight);
    if (turn.phase !== "proposed" || turn.write !== "in_flight") continue;
    turn.write = "in_doubt";
    // The store may be out of reach for long, and the answer may be for a question that was not accepted: do not pay for it.
    if (turn.seq === undefined) dropAttempt(step, turn);
  }
  refuseIntents(step, flight, "store_unavailable");
  // These were never sent, so it is certain that none was done.
  if (wasFencing) {
    refuseIntents(step, { intents: state.intents.splice(0) }, "store_unavailable");
    for (const turn of state.turns.values()) {
      if (turn.phase === "proposed") refuseAskers(step, turn, { code: "store_unavailable" });
    }
  }
  for (const queryId of flight.ends) {
    const turn = state.turns.get(queryId);
    if (turn?.phase === "ending") warnReaders(step, queryId);
  }
}

/** The store may have none of the checkpoints of this run. What earlier runs have written it has. */
function doubt(turn: RunningTurn | ActingTurn, { progress }: Flight): void {
  const { pieces, chars } = turn.kept;
  const hasWritten = pieces > 0 || progress?.queryId === turn.query.queryId;
  turn.kept = { isStarted: false, pieces: 0, chars: hasWritten ? 0 : chars };
}

/** Tells other workers that the lease is free and turns are waiting, so that they need not wait for it to expire. */
function announceRelease({ state, effects }: Step, { write: { lease, epoch } }: Flight): void {
  if (lease !== "release" || epoch === undefined || state.turns.size === 0) return;
  effects.push({ kind: "send", call: { kind: "released", epoch } });
}

/** Starts the turn that this write has announced to the store as begun. */
function startPromised(step: Step, { started }: Flight): void {
  const turn = started === undefined ? undefined : step.state.turns.get(started);
  if (turn?.phase === "running" || turn?.phase === "acting") turn.kept.isStarted = true;
  if (turn?.phase !== "queued") return;
  if (step.state.history.gap === undefined) startTurn(step, turn, { isStarted: true });
  // It runs first, so that the store is right.
  else turn.begun ??= { starts: 1, startsWithoutText: 1, partial: "", isOurs: true };
}

function keepProgress({ state }: Step, { progress }: Flight): void {
  const turn = progress && state.turns.get(progress.queryId);
  if (turn?.phase !== "running" && turn?.phase !== "acting" || progress === undefined) return;
  turn.kept = { ...turn.kept, pieces: progress.pieces, chars: progress.chars };
}

/** Proposals that were in doubt and are not in the log were never accepted; their clients were told so. */
function settleDoubts(step: Step): void {
  const { state } = step;
  for (const turn of [...state.turns.values()]) {
    if (turn.phase !== "proposed" || turn.write !== "in_doubt" || turn.seq !== undefined) continue;
    // A client has sent it again since.
    if (turn.askers.length > 0 && turn.attempt.name !== "done") {
      turn.write = "due";
      const { displaces: stop, query: { queryId } } = turn;
      state.intents.push({ kind: "ask", queryId, stop, onlyIfIdle: false });
      continue;
    }
    refuseAskers(step, turn, { code: "store_unavailable" });
    retract(step, turn);
  }
}

function settleIntents(step: Step, { intents }: Flight, answer: Committed): void {
  const { state, effects } = step;
  // Before any stop is applied: ending a turn starts the next one of the log.
  if (answer.events.length > 0) {
    effects.push({ kind: "send", call: { kind: "appended", seq: answer.lastSeq } });
  }
  for (const intent of intents) {
    if (intent.kind === "ask") settleAsk(step, intent.queryId, answer.events);
    const reason = intent.kind === "ask" || intent.kind === "stop" ? intent.stop?.reason : undefined;
    if (reason !== undefined && answer.stopMatched.length > 0 && !mayRun(state)) {
      effects.push({ kind: "send", call: { kind: "stop", queryIds: [...answer.stopMatched], reason } });
    }
    if (intent.kind === "stop" && intent.wish !== undefined) {
      const queryIds = [...new Set([...intent.reached, ...answer.stopMatched])];
      effects.push({ kind: "answer", wish: intent.wish, result: { ok: true, queryIds } });
    }
    if (intent.kind === "append") {
      effects.push({ kind: "answer", wish: intent.wish, result: { ok: true, queryIds: [] } });
    }
    if (intent.kind === "settle_call") {
      effects.push({ kind: "answer", wish: intent.wish, result: settledBy(intent.event, answer.events) });
    }
  }
}

/** The first decision counts: the log gives the one that it has. */
function settledBy(
  event: ApprovalDecidedEvent | ToolResultEvent,
  events: readonly LogEvent[],
): WishResult {
  const isOurs = events.some((logged) => isSameToolEvent(event, logged));
  return isOurs
    ? { ok: true, queryIds: [event.queryId] }
    : { ok: false, refusal: { code: "already_decided" } };
}

/** The proposal was not folded: the log has an older query with this id that this worker no longer remembers. */
function settleAsk(step: Step, queryId: string, events: readonly LogEvent[]): void {
  const { state, effects } = step;
  const turn = state.turns.get(queryId);
  if (turn?.phase !== "proposed" || turn.write !== "in_flight" || turn.seq !== undefined) return;
  const event = events.find((event) => event.kind === "query" && event.queryId === queryId);
  if (event?.kind !== "query") {
    const code = turn.query.replaces === undefined ? "store_unavailable" : "unknown_query";
    refuseAskers(step, turn, { code });
    return retract(step, turn);
  }
  remove(state, queryId);
  dropAttempt(step, turn);
  if (!isSameQuestion(turn.query, event)) return refuseAskers(step, turn, { code: "id_conflict" });
  for (const connectionId of turn.askers) {
    const purpose = { for: "end", connectionId, queryId, turnId: event.turnId } as const;
    effects.push({ kind: "read", purpose, afterSeq: event.seq });
  }
}

/** Refuses every request that waits for a part of the write: it was not done, or its outcome is unknown. */
function refuseIntents(step: Step, { intents }: Pick<Flight, "intents">, code: ErrorCode): void {
  const { state, effects } = step;
  for (const intent of intents) {
    // Its client was already told that it is done.
    if (intent.kind === "stop" && intent.wish === undefined) state.intents.push(intent);
    if (intent.kind === "ask") {
      const turn = state.turns.get(intent.queryId);
      if (turn?.phase !== "proposed" || turn.seq !== undefined) continue;
      refuseAskers(step, turn, { code });
      if (turn.write === "in_doubt") continue;
      retract(step, turn);
    } else if (intent.kind !== "touch" && intent.wish !== undefined) {
      effects.push({ kind: "answer", wish: intent.wish, result: { ok: false, refusal: { code } } });
    }
  }
}

/** Nothing was written: the client requests are queued again, first. */
function takeBack({ state }: Step, { intents }: Flight): void {
  for (const intent of intents) {
    const turn = intent.kind === "ask" ? state.turns.get(intent.queryId) : undefined;
    if (turn?.phase === "proposed") turn.write = "due";
  }
  state.intents.unshift(...intents);
}

/** Tells the live connections that nobody knows yet whether the log has the answer. */
function warnReaders({ state, effects }: Step, queryId: string): void {
  const to = liveConnections(state);
  if (to.length > 0) effects.push({ kind: "refuse", to, queryId, refusal: { code: "store_unavailable" } });
}

function flightOf({ state: { flight } }: Step, number: number): Flight {
  if (flight?.number !== number || flight.answer !== undefined) {
    throw new TypeError(`Cannot settle write ${number}: ${flight?.number ?? "none"} is in flight`);
  }
  return flight;
}

/** Applies the log to the state: each event is folded and shown once, in the order of `seq`. */

import type { Committed, LogPage } from "../../ports/event_log.ts";
import {
  isTerminal,
  type LogEvent,
  type Logged,
  type QueryEvent,
  type RewoundEvent,
  type TerminalEvent,
} from "../../protocol/log_event.ts";
import { isToolEvent, type ToolEvent } from "../../protocol/tool_events.ts";
import { abortActs, foldToolEvent, forgetThread } from "./act.ts";
import { foldHistory } from "./history.ts";
import { put, remove } from "./put.ts";
import { adoptAttempt, canStart, dropAttempt, loseCall, outdateAttempts, startTurn } from "./run.ts";
import { acknowledge, announceStart, completeText, showEvent, showText } from "./show.ts";
import { isUpToDate, mayRun, type SessionState, type Step } from "./state.ts";
import { isMeant, stopTurn, supersedeAttempt } from "./stop.ts";
import { sendTail } from "./tail.ts";
import { textBefore } from "./thread.ts";
import { showThoughts, thoughtsOf } from "./thoughts.ts";
import type { LeaseView } from "./lease.ts";
import {
  type Attempt,
  begunHere,
  fromEvent,
  type ProposedTurn,
  remoteTurn,
  shownOf,
  type StopReason,
  textOf,
  type Turn,
} from "./turn.ts";

/** How much of the ended questions is kept to tell a repeat from a conflict, in UTF-16 units. Beyond it the oldest are dropped. */
const MAX_ENDED_CHARS = 4_000_000;

/** Folds events. Skips those that were folded before, and those that do not follow directly. */
export function foldEvents(step: Step, events: readonly LogEvent[]): void {
  const { log } = step.state;
  for (const event of events) {
    if (event.seq !== log.lastSeq + 1) continue;
    log.lastSeq = event.seq;
    wantSeq(step, event.seq);
    foldEvent(step, event);
  }
}

/** Records that the log reaches at least to `seq`. */
export function wantSeq({ state: { log } }: Step, seq: number): void {
  if (seq > log.wantedSeq) log.wantedSeq = seq;
}

/** Folds a page that was read from `lastSeq` on. */
export function foldPage(step: Step, page: LogPage): void {
  const { state } = step;
  const { log } = state;
  const askedFor = log.reading.name === "in_flight" ? log.reading.wantedSeq : log.wantedSeq;
  log.reading = { name: "idle", retryAt: step.now };
  if (page.oldestSeq > log.lastSeq + 1) skipTo(step, page.oldestSeq);
  wantSeq(step, page.lastSeq);
  foldEvents(step, page.events);
  // A `seq` announced before the read began and not found does not exist. One announced since may be missing from the page.
  if (log.wantedSeq === askedFor && page.lastSeq < askedFor) {
    log.wantedSeq = Math.max(log.lastSeq, page.lastSeq);
  }
}

/** The log no longer keeps the events in between: connections that need them are closed, and their resume reports the gap. */
function skipTo({ state, effects }: Step, oldestSeq: number): void {
  state.log.lastSeq = oldestSeq - 1;
  for (const id of state.connections.keys()) effects.push({ kind: "close_slow", connectionId: id });
}

function foldEvent(step: Step, event: LogEvent): void {
  const { state, effects } = step;
  foldHistory(state.history, event);
  if (isTerminal(event) || event.kind === "rewound" || event.kind === "cleared") outdateAttempts(step);
  if (event.kind === "query") {
    effects.push({ kind: "learnt", event });
    return foldQuery(step, event);
  }
  if (isTerminal(event)) foldEnd(step, event);
  if (event.kind === "rewound") foldRewound(step, event);
  if (isToolEvent(event)) foldTool(step, event);
  effects.push({ kind: "learnt", event });
  if (event.kind === "configured") state.defaults = { ...state.defaults, ...event.options };
  showEvent(step, event);
}

function foldQuery(step: Step, event: QueryEvent & Logged): void {
  const { state } = step;
  const turn = state.turns.get(event.queryId);
  state.ended.delete(event.queryId);
  state.lastTurnId = event.turnId;
  if (turn?.phase === "proposed") {
    showEvent(step, event);
    return foldProposed(step, turn, event);
  }
  if (turn === undefined) {
    put(state, remoteTurn(fromEvent(event), event.seq));
    showEvent(step, event);
    return acknowledge(step, event.queryId, [event.connectionId]);
  }
  // The id was used again, and the terminal event of its older turn is no longer kept.
  if (turn.query.turnId !== event.turnId) put(state, remoteTurn(fromEvent(event), event.seq));
  showEvent(step, event);
}

/** The log has a question that was asked here: this worker's write of it, or another worker's with the same id. */
function foldProposed(step: Step, turn: ProposedTurn, event: QueryEvent & Logged): void {
  const { state, effects } = step;
  const { queryId } = event;
  const isOurs = event.turnId === turn.query.turnId;
  const isSame = isOurs || isSameQuestion(turn.query, event);
  const { askers } = turn;
  if (!isSame) {
    dropAttempt(step, turn);
    put(state, remoteTurn(fromEvent(event), event.seq));
    if (askers.length > 0) {
      effects.push({ kind: "refuse", to: askers, queryId, refusal: { code: "id_conflict" } });
    }
    return acknowledge(step, queryId, [event.connectionId]);
  }
  const told = askers.includes(event.connectionId) ? askers : [...askers, event.connectionId];
  // A model call that was begun for the same question answers this one too.
  if (!isOurs) relabel(turn, event);
  if (isOurs) displace(step, turn, event.seq);
  // A repeat whose first copy is in the log: its terminal event may follow there.
  const mayHaveEnded = !isOurs && !isUpToDate(state);
  const thoughts = thoughtsOf(turn);
  const adopted = mayRun(state) && !mayHaveEnded ? adoptProposed(step, turn, event.seq, told) : undefined;
  // The answer to the write in flight says whose turn it is.
  if (adopted === undefined && (isUnsettled(state.lease) || mayRun(state))) turn.seq = event.seq;
  else if (adopted === undefined) leave(step, turn, event);
  acknowledge(step, queryId, told);
  if (adopted?.phase === "running" || adopted?.phase === "ending") showThoughts(step, adopted, 0, thoughts);
  if (adopted?.phase !== "running" && adopted?.phase !== "acting") return;
  if (adopted.text !== "") showText(step, adopted, 0, adopted.text);
  sendTail(step, adopted, 0);
}

/** The log has the question: stops the turns it displaces, except those that came after it. */
function displace(step: Step, { displaces, query }: ProposedTurn, seq: number): void {
  if (displaces === undefined) return;
  for (const turn of [...step.state.turns.values()]) {
    if (turn.query.queryId === query.queryId || turn.seq === undefined || turn.seq > seq) continue;
    if (isMeant(step.state, turn, displaces.which)) stopTurn(step, turn, displaces.reason);
  }
}

function isUnsettled({ name }: LeaseView): boolean {
  return name === "in_doubt" || name === "claiming";
}

/** The question is in the log, and this worker answers it. `told`: connections that get its status. */
function adoptProposed(step: Step, turn: ProposedTurn, seq: number, told: readonly string[]): Turn {
  const { state } = step;
  const { queryId, turnId } = turn.query;
  const isStarted = state.flight?.started === queryId && state.flight.write.startedTurnId === turnId;
  const adopted = adoptAttempt(step, turn, seq, isStarted);
  if (adopted.phase === "running" || adopted.phase === "acting") announceStart(step, adopted, told);
  const isAlone = state.turns.size === 1 && state.inherited.length === 0;
  // Its terminal event may be the next one in the log. Then the question was a repeat, and must not be asked again.
  const isNext = isAlone && isUpToDate(state) && canStart(state, queryId);
  if (adopted.phase !== "queued" || !isNext) return adopted;
  return startTurn(step, adopted, { isStarted, told });
}

/** The question is in the log, and another worker holds the lease and answers it. */
export function leave(step: Step, turn: ProposedTurn, { seq }: { seq: number }): void {
  const { state } = step;
  const { attempt, query } = turn;
  dropAttempt(step, turn);
  put(state, remoteTurn(query, seq));
  passAttemptOn(state, query.queryId, attempt);
}

/** The log did not accept the question, as far as this worker knows. If another worker wrote it, it is stopped there. */
export function retract(step: Step, turn: ProposedTurn): void {
  const { attempt, query: { queryId } } = turn;
  dropAttempt(step, turn);
  remove(step.state, queryId);
  passAttemptOn(step.state, queryId, attempt);
}

/** Discards the result of an early model call, but keeps the fact that it was stopped. */
function passAttemptOn(state: SessionState, queryId: string, attempt: Attempt): void {
  if (attempt.name === "done" && attempt.end.kind === "cancelled") {
    passStopOn(state, queryId, attempt.end.reason);
  }
}

/** A turn that was stopped here belongs to another worker now: sends the stop to that worker. */
export function passStopOn(
  { intents }: SessionState,
  queryId: string,
  reason: StopReason,
): void {
  intents.push({ kind: "stop", wish: undefined, stop: { which: { queryId }, reason }, reached: [] });
}

function foldEnd(step: Step, event: TerminalEvent & Logged): void {
  const { state } = step;
  const { queryId, turnId, seq } = event;
  const turn = state.turns.get(queryId);
  state.lastTurnId = turnId;
  // The terminal event of an older turn does not end a later turn of the same query id.
  if (turn?.query.turnId !== turnId) return;
  remove(state, queryId);
  if (turn.phase === "proposed") dropAttempt(step, turn);
  if (turn.phase === "running") loseCall(step, turn);
  if (turn.phase === "acting") abortActs(step, turn);
  forgetThread(state, turnId);
  completeText(step, turn.query, shownOf(turn), textOf(event));
  const { content, options, replaces } = turn.query;
  state.ended.set(queryId, { queryId, turnId, content, options, replaces, endSeq: seq });
  state.endedChars += content.length;
  forgetOldest(state);
}

/** A step of another worker may have text that connections here were not shown, and voids what this worker has made of the turn. */
function foldTool(step: Step, event: ToolEvent): void {
  if (event.kind === "tool_call") voidOwnBranch(step, event);
  const turn = foldToolEvent(step, event);
  if (turn?.phase !== "remote" || event.kind !== "tool_call") return;
  const text = textBefore(step.state.threads.get(event.turnId));
  const { shown } = turn;
  if (shown.text.startsWith(text)) return;
  const offset = text.startsWith(shown.text) ? shown.text.length : 0;
  turn.shown = { ...shown, text };
  showText(step, turn, offset, text.slice(offset));
}

/** Another worker has gone on with a turn that this worker still held to be its own. */
function voidOwnBranch(step: Step, { queryId, turnId, callId }: ToolEvent): void {
  const turn = step.state.turns.get(queryId);
  if (turn === undefined || turn.query.turnId !== turnId) return;
  if (turn.phase === "proposed") return dropAttempt(step, turn);
  if (turn.phase === "running") loseCall(step, turn);
  else if (turn.phase === "acting") {
    if (turn.proposed.some((event) => event.callId === callId)) return;
    abortActs(step, turn);
  } else if (turn.phase !== "ending" || turn.end.kind === "cancelled") return;
  const { query, seq } = turn;
  const begun = begunHere("");
  const queued = put(step.state, { phase: "queued", query, seq, begun, shown: shownOf(turn) });
  if (turn.phase === "ending" && turn.isSuperseded) stopTurn(step, queued, "superseded");
}

/** Stops the open turns that are superseded: here, or where they are adopted. */
function foldRewound(step: Step, { fromSeq, seq }: RewoundEvent & Logged): void {
  for (const turn of [...step.state.turns.values()]) {
    if (turn.seq === undefined || turn.seq < fromSeq || turn.seq >= seq) continue;
    if (turn.phase === "remote") turn.stopped ??= "superseded";
    else if (turn.phase === "ending") turn.isSuperseded = true;
    else if (turn.phase === "proposed") supersedeAttempt(step, turn);
    else stopTurn(step, turn, "superseded");
  }
}

/** Forgets ended turns together with their events. */
function forgetOldest(state: SessionState): void {
  const oldestSeq = state.log.lastSeq - state.settings.maxEvents + 1;
  for (const { queryId, endSeq, content } of state.ended.values()) {
    if (endSeq >= oldestSeq && state.endedChars <= MAX_ENDED_CHARS) return;
    state.ended.delete(queryId);
    state.endedChars -= content.length;
  }
}

/** Whether two queries of one id ask the same. */
export function isSameQuestion(a: Asked, b: Asked): boolean {
  const names = ["model", "temperature", "max_tokens"] as const;
  return a.content === b.content && a.replaces === b.replaces &&
    names.every((name) => a.options[name] === b.options[name]) &&
    a.options.reasoning?.effort === b.options.reasoning?.effort;
}

type Asked = Pick<QueryEvent, "content" | "options"> & { replaces?: string | undefined };

/** Replaces the proposed question by the one in the log, but keeps its quota keys. */
function relabel(turn: ProposedTurn, event: QueryEvent): void {
  const { stream, quotaKeys } = turn.query;
  turn.query = { ...fromEvent(event), stream, quotaKeys };
  if (turn.attempt.name === "done") turn.attempt.end = { ...turn.attempt.end, turnId: event.turnId };
}

/** Folds the events of a committed write, and notes how far the log reaches. */
export function foldAnswer(step: Step, { events, lastSeq }: Committed): void {
  wantSeq(step, lastSeq);
  foldEvents(step, events);
}

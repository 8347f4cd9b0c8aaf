/** Runs turns: calls the model, handles its text and its end, and ends turns. */

import type { ErrorCode } from "../../errors.ts";
import type { StopRequest } from "../../ports/event_log.ts";
import type { TerminalEvent } from "../../protocol/log_event.ts";
import type { ModelOutcome } from "./event.ts";
import { promptFor } from "./history.ts";
import { withEntry, withoutEntry } from "./lazy_map.ts";
import { countSkips } from "./queue.ts";
import { announceStart, showText } from "./show.ts";
import { mayRun, type SessionState, type Step } from "./state.ts";
import { sendTail } from "./tail.ts";
import {
  type Attempt,
  type EndingTurn,
  type Interruption,
  type ProposedTurn,
  type Question,
  type QueuedTurn,
  type RunningTurn,
  shownOf,
  type StopReason,
  textOf,
  type Turn,
} from "./turn.ts";

/** A turn that was started this often and never ended is assumed to kill its workers, and fails. */
export const MAX_STARTS = 10;
/** A turn that was started this often in a row without a new character fails: the model takes longer than workers live. */
export const MAX_STARTS_WITHOUT_TEXT = 3;

/** Starts a turn. `told`: connections that learn of the start by another frame. */
export function startTurn(
  step: Step,
  queued: QueuedTurn,
  { isStarted, told = [] }: StartOptions,
): RunningTurn {
  const { state, effects } = step;
  const { query, seq, begun, shown } = queued;
  const { continuePolicy } = state.settings;
  const isContinued = continuePolicy === "auto" || continuePolicy === "continue";
  const text = isContinued ? begun?.partial ?? "" : "";
  const call = ++state.lastCall;
  countSkips(state, queued);
  const turn = put(state, {
    phase: "running",
    query,
    seq,
    call,
    text,
    ...fresh(step, isStarted, text.length),
  });
  ask(step, query, call, text);
  announceStart(step, turn, told);
  // Connections here may have been shown more of the text than the store has, or less.
  if (text !== shown) showText(step, turn, 0, text);
  if (begun !== undefined && begun.isOurs !== true) {
    effects.push({ kind: "taken_over", query, how: "run", chars: text.length });
  }
  sendTail(step, turn, 0);
  return turn;
}

interface StartOptions {
  /** Whether the store knows that the turn has begun. */
  isStarted: boolean;
  told?: readonly string[];
}

/** Calls the model before the question is in the log. No text is shown until it is. */
export function startAttempt(step: Step, turn: ProposedTurn): void {
  const call = ++step.state.lastCall;
  turn.attempt = { name: "calling", call, text: "", thoughts: "" };
  ask(step, turn.query, call, "");
}

/** The question is in the log, and this worker answers it: the early model call becomes the running turn. */
export function adoptAttempt(
  step: Step,
  { query, attempt }: ProposedTurn,
  seq: number,
  isStarted: boolean,
): Turn {
  const { state } = step;
  switch (attempt.name) {
    case "none":
      return put(state, { phase: "queued", query, seq, begun: undefined, shown: "" });
    case "done":
      return end(step, { query, seq, shown: "" }, attempt.end);
    case "calling": {
      const { call, text, thoughts } = attempt;
      return put(state, { phase: "running", query, seq, call, text, ...fresh(step, isStarted), thoughts });
    }
  }
}

/** Aborts the early model call of a question that another worker answers. A stop stays recorded. */
export function dropAttempt({ effects }: Step, turn: ProposedTurn): void {
  const { query, attempt } = turn;
  if (attempt.name === "none" || isStopped(attempt)) return;
  turn.attempt = { name: "none" };
  if (attempt.name === "calling") effects.push({ kind: "abort", call: attempt.call });
  const text = attempt.name === "calling" ? attempt.text : textOf(attempt.end);
  effects.push({ kind: "account_call", query, text, why: "in_vain" });
}

/** Aborts the call of a running turn that this worker no longer owns. */
export function loseCall({ effects }: Step, { call, query, text }: RunningTurn): void {
  effects.push({ kind: "abort", call });
  effects.push({ kind: "account_call", query, text, why: "lost" });
}

function isStopped(attempt: Attempt): boolean {
  return attempt.name === "done" && attempt.end.kind === "cancelled";
}

/** Handles a piece of text from the model. */
export function takeText(step: Step, call: number, text: string): void {
  for (const turn of step.state.turns.values()) {
    if (turn.phase === "running" && turn.call === call) {
      const offset = turn.text.length;
      turn.text += text;
      showText(step, turn, offset, text);
      return sendTail(step, turn, offset);
    }
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      turn.attempt.text += text;
      return;
    }
  }
}

/** Handles a new beginning of the answer: its text follows, from offset 0. */
export function takeRestart(step: Step, call: number): void {
  const { flight, turns } = step.state;
  for (const turn of turns.values()) {
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      turn.attempt.text = "";
    }
    if (turn.phase !== "running" || turn.call !== call) continue;
    turn.text = "";
    turn.restarts++;
    // The store keeps the old text until the first checkpoint of the new one replaces it. It takes a first
    // checkpoint only from a run that has written none, so after any other this one starts again.
    const hasWritten = turn.kept.pieces > 0 || flight?.progress?.queryId === turn.query.queryId;
    turn.kept = { isStarted: turn.kept.isStarted && !hasWritten, pieces: 0, chars: 0 };
    if (flight !== undefined) flight.progress = undefined;
    showText(step, turn, 0, "");
    return sendTail(step, turn, 0);
  }
}

/** Handles the end of a model call. */
export function takeOutcome(step: Step, call: number, outcome: ModelOutcome): void {
  for (const turn of step.state.turns.values()) {
    if (turn.phase === "running" && turn.call === call) {
      end(step, { ...turn, shown: turn.text }, endOf(turn.query, turn.text, outcome));
      return;
    }
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      const { text, thoughts } = turn.attempt;
      turn.attempt = { name: "done", end: endOf(turn.query, text, outcome), thoughts };
      return;
    }
  }
}

/** Stops a turn of this worker on request. Returns whether there was anything to stop. */
export function stopTurn(step: Step, turn: Turn, reason: StopReason): boolean {
  switch (turn.phase) {
    case "proposed": {
      if (turn.attempt.name === "done") return false;
      const partial = turn.attempt.name === "calling" ? turn.attempt.text : "";
      if (turn.attempt.name === "calling") step.effects.push({ kind: "abort", call: turn.attempt.call });
      turn.attempt = { name: "done", end: cancelled(turn.query, reason, partial), thoughts: "" };
      return true;
    }
    case "queued":
      end(step, turn, cancelled(turn.query, reason, turn.begun?.partial ?? ""));
      return true;
    case "running":
      step.effects.push({ kind: "abort", call: turn.call });
      end(step, { ...turn, shown: turn.text }, cancelled(turn.query, reason, turn.text));
      return true;
    case "ending":
    case "remote":
      return false;
  }
}

/** Whether a stop request selects this turn. As in the store, a turn counts as running once a write says so. */
export function isMeant({ flight }: SessionState, turn: Turn, which: StopRequest["which"]): boolean {
  if (which === "all") return true;
  if (typeof which === "object") return which.queryId === turn.query.queryId;
  const isRunning = turn.phase === "running" || flight?.started === turn.query.queryId ||
    turn.phase === "proposed" && turn.attempt.name === "calling" ||
    turn.phase === "queued" && turn.begun !== undefined && turn.begun.starts > 0;
  return isRunning === (which === "running");
}

/** Ends a turn that cannot continue. */
export function interruptTurn(step: Step, turn: QueuedTurn | RunningTurn, why: Interruption): void {
  if (turn.phase === "running") step.effects.push({ kind: "abort", call: turn.call });
  const shown = shownOf(turn);
  const partial = turn.phase === "running" ? turn.text : turn.begun?.partial ?? "";
  end(
    step,
    { ...turn, shown },
    failed(turn.query, { code: "interrupted", ...why, partial }),
  );
}

/** The store refuses the terminal event for good: the turn ends with an error that has no text. */
export function replaceEnd({ state }: Step, turn: EndingTurn, code: ErrorCode): void {
  const content = "the store refused the answer";
  const end = turn.end.kind === "cancelled"
    ? { ...turn.end, partial: "" }
    : failed(turn.query, { code, content, retryable: true, partial: "" });
  put(state, { ...turn, end });
}

/** Whether this query's turn could start now if it were queued: no other turn runs or was announced to the store. */
export function canStart(state: SessionState, queryId?: string): boolean {
  if (!mayRun(state) || state.life.name !== "open" || state.history.gap !== undefined) return false;
  const announced = state.flight?.started;
  if (announced !== undefined && announced !== queryId) return false;
  for (const turn of state.turns.values()) {
    if (turn.phase === "running" || turn.phase === "ending") return false;
    // Its question is being written, and its answer is already being generated.
    if (turn.phase === "proposed" && turn.attempt.name === "calling") return false;
  }
  return true;
}

/** Forgets the turn of a query. */
export function remove(state: SessionState, queryId: string): void {
  state.turns = withoutEntry(state.turns, queryId);
}

export function put<T extends Turn>(state: SessionState, turn: T): T {
  state.turns = withEntry(state.turns, turn.query.queryId, turn);
  return turn;
}

/** Marks the turn as ending: its terminal event goes to the log with the next write. */
function end(step: Step, { query, seq, shown }: Ended, terminal: TerminalEvent): EndingTurn {
  step.effects.push({ kind: "account", query, end: terminal });
  return put(step.state, { phase: "ending", query, seq, end: terminal, shown });
}

type Ended = Pick<EndingTurn, "query" | "seq" | "shown">;

function ask({ state, effects }: Step, query: Question, call: number, partial: string): void {
  const messages = promptFor(state.history, query);
  const options = { ...state.defaults, ...query.options };
  effects.push({ kind: "ask", call, query, messages, partial, options });
}

function fresh(
  { state: { settings }, now }: Step,
  isStarted: boolean,
  chars = 0,
): Pick<RunningTurn, "kept" | "checkpointAt" | "thoughts" | "restarts"> {
  return {
    thoughts: "",
    restarts: 0,
    kept: { isStarted, pieces: 0, chars },
    checkpointAt: nextCheckpoint(now, settings.checkpointMs),
  };
}

/** The next point of a time grid that all sessions of a worker share, so that their checkpoints go to the store in one call. */
export function nextCheckpoint(now: number, everyMs: number): number {
  return everyMs === Infinity ? Infinity : (Math.floor(now / everyMs) + 1) * everyMs;
}

function endOf(query: Question, text: string, outcome: ModelOutcome): TerminalEvent {
  const { queryId, turnId } = query;
  if (outcome.ok) return { kind: "response", queryId, turnId, content: text, ...outcome.reply };
  const { ok: _, ...error } = outcome;
  return failed(query, { ...error, partial: text });
}

function cancelled({ queryId, turnId }: Question, reason: StopReason, partial: string): TerminalEvent {
  return { kind: "cancelled", queryId, turnId, reason, partial };
}

interface Failure {
  code: ErrorCode;
  content: string;
  retryable: boolean;
  retryAfterMs?: number;
  partial: string;
}

function failed({ queryId, turnId }: Question, { content, ...rest }: Failure): TerminalEvent {
  return { kind: "error", queryId, turnId, content: `Failed to generate response: ${content}`, ...rest };
}

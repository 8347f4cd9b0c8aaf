/** Runs turns: calls the model, and handles its text and its end. */

import { beginActing, eventsOfStep } from "./act.ts";
import type { ModelOutcome } from "./event.ts";
import { promptFor } from "./history.ts";
import { put } from "./put.ts";
import { countSkips } from "./queue.ts";
import { announceStart, showText } from "./show.ts";
import { mayRun, type SessionState, type Step, surroundingsOf } from "./state.ts";
import { end, endOf, isStopped } from "./stop.ts";
import { sendTail } from "./tail.ts";
import { hasWaited, isSettled, messagesOf, refusedSteps, textBefore } from "./thread.ts";
import {
  type ActingTurn,
  type ModelStep,
  type ProposedTurn,
  type Question,
  type QueuedTurn,
  type RunningTurn,
  textOf,
  type Turn,
} from "./turn.ts";

/** A turn that was started this often and never ended is assumed to kill its workers, and fails. */
export const MAX_STARTS = 10;
/** A turn that was started this often in a row without a new character fails: the model takes longer than workers live. */
export const MAX_STARTS_WITHOUT_TEXT = 3;
/** Between the texts of two steps. */
const BREAK = "\n\n";

/** Starts a turn. `told`: connections that learn of the start by another frame. */
export function startTurn(
  step: Step,
  queued: QueuedTurn,
  { isStarted, told = [] }: StartOptions,
): RunningTurn | ActingTurn {
  const { state, effects } = step;
  const { query, seq, begun, shown } = queued;
  const { continuePolicy } = state.settings;
  const isContinued = continuePolicy === "auto" || continuePolicy === "continue";
  const thread = state.threads.get(query.turnId);
  const before = textBefore(thread);
  const partial = isContinued ? begun?.partial ?? "" : "";
  // The steps are in the log; the text of a checkpoint may be older.
  const text = partial.startsWith(before) ? partial : before;
  countSkips(state, queued);
  const started = { query, seq, text, ...fresh(step, isStarted, partial === text ? text.length : 0) };
  const turn = isSettled(thread, surroundingsOf(step))
    ? callModel(step, { ...started, base: before.length })
    : beginActing(state, started, []);
  announceStart(step, turn, told);
  // Connections here may have been shown more of the text than the store has, or less.
  if (text !== shown) showText(step, turn, 0, text);
  if (begun !== undefined && begun.isOurs !== true && !hasWaited(thread, surroundingsOf(step))) {
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

/** All calls of the last step have their results: asks the model again. */
export function goOn(step: Step, { query, seq, text, restarts, kept }: ActingTurn): RunningTurn {
  const checkpointAt = nextCheckpoint(step.now, step.state.settings.checkpointMs);
  const going = { query, seq, text, restarts, kept, checkpointAt, thoughts: "", base: text.length };
  return callModel(step, going);
}

function callModel(step: Step, turn: Omit<RunningTurn, "phase" | "call">): RunningTurn {
  const call = ++step.state.lastCall;
  ask(step, turn.query, call, withoutBreak(turn.text.slice(turn.base)));
  return put(step.state, { phase: "running", call, ...turn });
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
    case "stepped": {
      const { text } = attempt;
      const proposed = eventsOfStep(step, query, text, attempt.step);
      return beginActing(state, { query, seq, text, ...fresh(step, isStarted) }, proposed);
    }
    case "calling": {
      const { call, text, thoughts } = attempt;
      return put(state, {
        phase: "running",
        query,
        seq,
        call,
        text,
        base: 0,
        ...fresh(step, isStarted),
        thoughts,
      });
    }
  }
}

/**
 * The conversation has changed before the questions that are not in the log yet: an early model call for one of them was given
 * another prompt than its place in the log asks for, so its text does not count. A stop stays recorded.
 */
export function outdateAttempts(step: Step): void {
  for (const turn of step.state.turns.values()) {
    if (turn.phase !== "proposed" || turn.seq !== undefined) continue;
    const { attempt } = turn;
    if (isStopped(attempt)) {
      turn.attempt = { ...attempt, end: { ...attempt.end, partial: "" } };
    } else dropAttempt(step, turn);
  }
}

/** Aborts the early model call of a question that another worker answers. A stop stays recorded. */
export function dropAttempt({ effects }: Step, turn: ProposedTurn): void {
  const { query, attempt } = turn;
  if (attempt.name === "none" || isStopped(attempt)) return;
  turn.attempt = { name: "none" };
  if (attempt.name === "calling") effects.push({ kind: "abort", call: attempt.call });
  const text = attempt.name === "done" ? textOf(attempt.end) : attempt.text;
  effects.push({ kind: "account_call", query, text, why: "in_vain" });
}

/** Aborts the call of a running turn that this worker no longer owns. */
export function loseCall({ effects }: Step, { call, query, text }: RunningTurn): void {
  effects.push({ kind: "abort", call });
  effects.push({ kind: "account_call", query, text, why: "lost" });
}

/** Handles a piece of text from the model. */
export function takeText(step: Step, call: number, text: string): void {
  for (const turn of step.state.turns.values()) {
    if (turn.phase === "running" && turn.call === call) {
      const offset = turn.text.length;
      const piece = offset === turn.base && offset > 0 ? withBreak(turn.text, text) : text;
      turn.text += piece;
      showText(step, turn, offset, piece);
      return sendTail(step, turn, offset);
    }
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      turn.attempt.text += text;
      return;
    }
  }
}

/** The first text of a step, as a paragraph of its own. */
function withBreak(before: string, text: string): string {
  return before.endsWith("\n") || text.startsWith("\n") ? text : `${BREAK}${text}`;
}

/** The text of a step as the model has written it. */
function withoutBreak(text: string): string {
  return text.startsWith(BREAK) ? text.slice(BREAK.length) : text;
}

/** Handles a new beginning of the answer: its text follows, from the end of the steps before. */
export function takeRestart(step: Step, call: number): void {
  const { flight, turns } = step.state;
  for (const turn of turns.values()) {
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      turn.attempt.text = "";
    }
    if (turn.phase !== "running" || turn.call !== call) continue;
    turn.text = turn.text.slice(0, turn.base);
    turn.restarts++;
    // The store keeps the old text until the first checkpoint of the new one replaces it. It takes a first
    // checkpoint only from a run that has written none, so after any other this one starts again.
    const hasWritten = turn.kept.pieces > 0 || flight?.progress?.queryId === turn.query.queryId;
    turn.kept = { isStarted: turn.kept.isStarted && !hasWritten, pieces: 0, chars: 0 };
    if (flight !== undefined) flight.progress = undefined;
    showText(step, turn, turn.base, "");
    return sendTail(step, turn, 0);
  }
}

/** Handles the end of a model call. */
export function takeOutcome(step: Step, call: number, outcome: ModelOutcome): void {
  for (const turn of step.state.turns.values()) {
    if (turn.phase === "running" && turn.call === call) {
      if (outcome.ok && outcome.step !== undefined) return takeStep(step, turn, outcome.step);
      end(step, { ...turn, shown: turn.text }, endOf(turn.query, turn.text, outcome));
      return;
    }
    if (turn.phase === "proposed" && turn.attempt.name === "calling" && turn.attempt.call === call) {
      const { text, thoughts } = turn.attempt;
      if (outcome.ok && outcome.step !== undefined) {
        step.effects.push({ kind: "account_step", query: turn.query });
        turn.attempt = { name: "stepped", text, thoughts, step: outcome.step };
        return;
      }
      turn.attempt = { name: "done", end: endOf(turn.query, text, outcome), thoughts };
      return;
    }
  }
}

/** The model wants tools to be called. */
function takeStep(step: Step, turn: RunningTurn, modelStep: ModelStep): void {
  step.effects.push({ kind: "account_step", query: turn.query });
  const content = turn.text.slice(turn.base);
  beginActing(step.state, turn, eventsOfStep(step, turn.query, content, modelStep));
}

/** Whether this query's turn could start now if it were queued: no other turn runs or was announced to the store. */
export function canStart(state: SessionState, queryId?: string): boolean {
  if (!mayRun(state) || state.life.name !== "open" || state.history.gap !== undefined) return false;
  const announced = state.flight?.started;
  if (announced !== undefined && announced !== queryId) return false;
  for (const turn of state.turns.values()) {
    if (turn.phase === "running" || turn.phase === "acting" || turn.phase === "ending") return false;
    // Its question is being written, and its answer is already being generated.
    if (turn.phase === "proposed" && (turn.attempt.name === "calling" || turn.attempt.name === "stepped")) {
      return false;
    }
  }
  return true;
}

function ask({ state, effects }: Step, query: Question, call: number, partial: string): void {
  const thread = state.threads.get(query.turnId) ?? [];
  const messages = [...promptFor(state.history, query), ...messagesOf(thread)];
  const options = { ...state.defaults, ...query.options };
  const [steps, refused] = [thread.length, refusedSteps(thread)];
  effects.push({ kind: "ask", call, query, messages, partial, options, steps, refused });
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

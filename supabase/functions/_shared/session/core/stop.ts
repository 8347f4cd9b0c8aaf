/** Ends turns: answered, stopped on request, interrupted, or failed. */

import type { ErrorCode } from "../../errors.ts";
import type { StopRequest } from "../../ports/event_log.ts";
import type { CancelledEvent, TerminalEvent } from "../../protocol/log_event.ts";
import type { ToolEvent } from "../../protocol/tool_events.ts";
import { abortActs, resultsAtStop } from "./act.ts";
import type { ModelOutcome } from "./event.ts";
import { put } from "./put.ts";
import type { SessionState, Step } from "./state.ts";
import {
  type ActingTurn,
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

/** Stops a turn of this worker on request. Returns whether there was anything to stop. */
export function stopTurn(step: Step, turn: Turn, reason: StopReason): boolean {
  switch (turn.phase) {
    case "proposed": {
      if (turn.attempt.name === "done") return false;
      const partial = turn.attempt.name === "none" ? "" : turn.attempt.text;
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
    case "acting":
      stopActing(step, turn, cancelled(turn.query, reason, turn.text));
      return true;
    case "ending":
    case "remote":
      return false;
  }
}

/** The question of an early model call is superseded: whatever has come of the call, the turn is stopped. */
export function supersedeAttempt(step: Step, turn: ProposedTurn): void {
  if (turn.attempt.name !== "done") return void stopTurn(step, turn, "superseded");
  if (isStopped(turn.attempt)) return;
  const end = cancelled(turn.query, "superseded", textOf(turn.attempt.end));
  turn.attempt = { name: "done", end, thoughts: "" };
}

/** Whether a stop request selects this turn. As in the store, a turn counts as running once a write says so. */
export function isMeant({ flight }: SessionState, turn: Turn, which: StopRequest["which"]): boolean {
  if (which === "all") return true;
  if (typeof which === "object") return which.queryId === turn.query.queryId;
  const isRunning = turn.phase === "running" || turn.phase === "acting" ||
    flight?.started === turn.query.queryId ||
    turn.phase === "proposed" && (turn.attempt.name === "calling" || turn.attempt.name === "stepped") ||
    turn.phase === "queued" && turn.begun !== undefined && turn.begun.starts > 0;
  return isRunning === (which === "running");
}

/** Ends a turn that cannot continue. */
export function interruptTurn(
  step: Step,
  turn: QueuedTurn | RunningTurn | ActingTurn,
  why: Interruption,
): void {
  if (turn.phase === "acting") {
    const partial = turn.text;
    return stopActing(step, turn, failed(turn.query, { code: "interrupted", ...why, partial }));
  }
  if (turn.phase === "running") step.effects.push({ kind: "abort", call: turn.call });
  const shown = shownOf(turn);
  const partial = turn.phase === "running" ? turn.text : turn.begun?.partial ?? "";
  end(
    step,
    { ...turn, shown },
    failed(turn.query, { code: "interrupted", ...why, partial }),
  );
}

/** The store refuses what was to be written of the tool calls: the turn ends with an error. */
export function failActing(step: Step, turn: ActingTurn, code: ErrorCode): void {
  abortActs(step, turn);
  const content = "the store refused the tool calls";
  const terminal = failed(turn.query, { code, content, retryable: true, partial: turn.text });
  end(step, { ...turn, shown: turn.text }, terminal);
}

function stopActing(step: Step, turn: ActingTurn, terminal: TerminalEvent): void {
  abortActs(step, turn);
  end(step, { ...turn, shown: turn.text }, terminal, resultsAtStop(turn));
}

/** The store refuses the terminal event for good: the turn ends with an error that has no text. */
export function replaceEnd({ state }: Step, turn: EndingTurn, code: ErrorCode): void {
  const content = "the store refused the answer";
  const end = turn.end.kind === "cancelled"
    ? { ...turn.end, partial: "" }
    : failed(turn.query, { code, content, retryable: true, partial: "" });
  put(state, { ...turn, end, before: [] });
}

/** Whether an early model call was stopped. */
export function isStopped(
  attempt: Attempt,
): attempt is Extract<Attempt, { name: "done" }> & { end: CancelledEvent } {
  return attempt.name === "done" && attempt.end.kind === "cancelled";
}

/** Marks the turn as ending: its terminal event goes to the log with the next write. */
export function end(
  step: Step,
  { query, seq, shown }: Ended,
  terminal: TerminalEvent,
  before: readonly ToolEvent[] = [],
): EndingTurn {
  step.effects.push({ kind: "account", query, end: terminal });
  return put(step.state, { phase: "ending", query, seq, end: terminal, before, shown });
}

type Ended = Pick<EndingTurn, "query" | "seq" | "shown">;

/** The terminal event that the end of a model call becomes. */
export function endOf(query: Question, text: string, outcome: ModelOutcome): TerminalEvent {
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

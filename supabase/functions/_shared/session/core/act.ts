/**
 * Runs the tool calls of a turn. Each step of a turn goes to the log before any of its calls runs, each call is started in the log before it
 * runs, and its result goes to the log before the model is asked again. A turn whose calls all wait for somebody is put back into
 * the queue: it needs no worker and no lease.
 */

import type { CallOutcome } from "../../ports/agent.ts";
import type { ToolEvent, ToolResultEvent } from "../../protocol/tool_events.ts";
import { toolKeyOf } from "../../protocol/tool_events.ts";
import { withEntry, withoutEntry } from "./lazy_map.ts";
import { put } from "./put.ts";
import {
  actingTurn,
  hasFreshLease,
  isSettling,
  mayRun,
  type SessionState,
  type Step,
  surroundingsOf,
} from "./state.ts";
import { type CallView, foldTool, inputOf, isBlocked, isSettled, lastCalls, statusOf } from "./thread.ts";
import {
  type ActingTurn,
  begunHere,
  type EndingTurn,
  type ModelStep,
  type Question,
  type QueuedTurn,
  type RunningTurn,
  type Turn,
} from "./turn.ts";

/** Calls of one session that run at the same time. */
export const MAX_PARALLEL_CALLS = 4;
/** How long a call whose start is in the log waits for a user who has left: the turn keeps its lease so long. */
const USER_WAIT_MS = 30_000;
const NOBODY_CAME: Readonly<Record<"client" | "nothing", string>> = {
  client: "The call did not run: no client has answered it in time.",
  nothing: "The call did not run: the user was not there in time.",
};
const UNKNOWN_OUTCOME =
  "Nobody knows what came of the call: the worker that ran it is gone. It may have been done. " +
  "Do not call it again before you have found out.";

/** The events of a step, for the log. */
export function eventsOfStep(
  { state, now }: Pick<Step, "state" | "now">,
  { queryId, turnId }: Question,
  content: string,
  { calls, reasoningDetails }: ModelStep,
): ToolEvent[] {
  const number = (state.threads.get(turnId)?.length ?? 0) + 1;
  const expiresAt = now + state.settings.approvalMs;
  return calls.flatMap(({ name, input, needs, asUser, isIdempotent, refusal }, place): ToolEvent[] => {
    // Two workers that both believe that the turn is theirs name no call alike.
    const of = { queryId, turnId, callId: `${turnId}:${number}.${state.lease.epoch}:${place}` };
    const call: ToolEvent = {
      kind: "tool_call",
      ...of,
      step: number,
      name,
      input,
      needs: refusal === undefined ? needs : "nothing",
      asUser,
      isIdempotent,
      expiresAt,
      ...(place === 0 && content !== "" && { content }),
      ...(place === 0 && reasoningDetails !== undefined && { reasoningDetails }),
    };
    if (refusal !== undefined) {
      return [call, { kind: "tool_result", ...of, name, outcome: "error", output: refusal }];
    }
    if (needs !== "approval") return [call];
    return [call, { kind: "approval_requested", ...of, name, input, expiresAt }];
  });
}

/** Goes on with a turn whose last step has calls without results. */
export function beginActing(
  state: SessionState,
  { query, seq, text, restarts, kept }: Pick<RunningTurn, "query" | "seq" | "text" | "restarts" | "kept">,
  proposed: readonly ToolEvent[],
): ActingTurn {
  return put(state, { phase: "acting", query, seq, text, restarts, kept, proposed, runs: new Map() });
}

/** Folds an event of a tool call, if its turn is open. */
export function foldToolEvent(step: Step, event: ToolEvent): Turn | undefined {
  const { state } = step;
  const turn = state.turns.get(event.queryId);
  if (turn === undefined || turn.query.turnId !== event.turnId) return undefined;
  const thread = state.threads.get(event.turnId) ?? [];
  foldTool(thread, event);
  state.threads = withEntry(state.threads, event.turnId, thread);
  if (turn.phase !== "acting") return turn;
  const key = toolKeyOf(event);
  if (turn.proposed.length > 0) turn.proposed = turn.proposed.filter((other) => toolKeyOf(other) !== key);
  if (event.kind === "tool_result") turn.runs.delete(event.callId);
  return turn;
}

/** Forgets the steps of a turn that has ended. */
export function forgetThread(state: SessionState, turnId: string): void {
  for (const { calls } of state.threads.get(turnId) ?? []) {
    for (const { callId } of calls) state.acted = withoutEntry(state.acted, callId);
  }
  state.threads = withoutEntry(state.threads, turnId);
}

/** A call that was run here has ended. */
export function takeActed({ state }: Step, callId: string, { outcome, output }: CallOutcome): void {
  const turn = actingTurn(state);
  if (turn?.runs.get(callId)?.name !== "running") return;
  const { queryId, turnId } = turn.query;
  const name = callOf(state, turnId, callId)?.name ?? "";
  const result: ToolResultEvent = { kind: "tool_result", queryId, turnId, callId, name, outcome, output };
  turn.runs.set(callId, { name: "done", result });
}

/** What the log needs next of the calls: the step itself; then ends of waiting, starts and results. */
export function nextActs(step: Step, turn: ActingTurn, epoch: number): readonly ToolEvent[] {
  if (turn.proposed.length > 0) return turn.proposed;
  const { state } = step;
  const around = surroundingsOf(step);
  const events: ToolEvent[] = [];
  let room = MAX_PARALLEL_CALLS - runningCalls(turn).length;
  for (const call of lastCalls(state.threads.get(turn.query.turnId))) {
    const run = turn.runs.get(call.callId);
    const status = statusOf(call, around);
    if (run?.name === "done") events.push(run.result);
    if (run !== undefined || status === "settled") continue;
    const of = { queryId: turn.query.queryId, turnId: turn.query.turnId, callId: call.callId };
    if (status === "expired") events.push(expiryOf(call, of));
    else if (status === "started" && !mayRunNow(state, call, epoch)) {
      events.push(unknownResult(of, call.name));
    } else if (status === "ready" && room > 0 && state.life.name === "open") {
      room--;
      events.push({ kind: "tool_started", ...of, name: call.name, epoch });
    }
  }
  return events;
}

/**
 * Runs the calls that the log says are started, and puts a turn that waits back into the queue. Returns the turn if the model can be asked
 * again.
 */
export function act(step: Step): ActingTurn | undefined {
  const { state, effects } = step;
  const turn = actingTurn(state);
  if (turn === undefined || !mayRun(state) || isSettling(state) || turn.proposed.length > 0) return undefined;
  const thread = state.threads.get(turn.query.turnId);
  const around = surroundingsOf(step);
  for (const call of lastCalls(thread)) {
    const { callId, name } = call;
    const run = turn.runs.get(callId);
    if (run !== undefined && run.name !== "awaiting_user") continue;
    // Another worker may have taken the turn over without this one knowing: the lease is renewed first.
    if (statusOf(call, around) !== "started" || !hasFreshLease(step)) continue;
    if (!mayRunNow(state, call, state.lease.epoch)) continue;
    if (call.asUser && !around.hasUser) {
      const until = run?.until ?? Math.min(step.now + USER_WAIT_MS, call.expiresAt);
      turn.runs.set(callId, { name: "awaiting_user", until });
      if (step.now < until) continue;
    }
    turn.runs.set(callId, { name: "running" });
    state.acted = withEntry(state.acted, callId, true);
    const isEdited = call.decision?.verdict === "modify";
    effects.push({ kind: "act", query: turn.query, callId, name, input: inputOf(call), isEdited });
  }
  if (turn.runs.size > 0) return undefined;
  if (isSettled(thread, around)) return turn;
  if (isBlocked(thread, around)) park(state, turn);
  return undefined;
}

/** When the first call that waits for its user is run without them, in milliseconds since the epoch; undefined if none waits. */
export function nextUserWait(state: SessionState, now: number): number | undefined {
  let first: number | undefined;
  for (const run of actingTurn(state)?.runs.values() ?? []) {
    // Past that, it waits for the lease to be renewed.
    if (run.name !== "awaiting_user" || run.until <= now) continue;
    if (first === undefined || run.until < first) first = run.until;
  }
  return first;
}

/** Aborts the calls that run here, because the turn is stopped or no longer owned. */
export function abortActs({ effects }: Step, turn: ActingTurn): void {
  const callIds = runningCalls(turn);
  if (callIds.length > 0) effects.push({ kind: "abort_acts", callIds });
}

/** The results of a turn that is stopped now, as far as they are known. */
export function resultsAtStop({ runs }: ActingTurn): ToolEvent[] {
  return [...runs.values()].flatMap((run) => run.name === "done" ? [run.result] : []);
}

/**
 * What goes to the log before the end of a turn: its results. That of a call which was started has to be there, and is unknown if nobody has it.
 * The start may be newer than the stop, so this is asked when the end is written.
 */
export function resultsAtEnd({ threads }: SessionState, { query, before }: EndingTurn): readonly ToolEvent[] {
  const { queryId, turnId } = query;
  const thread = threads.get(turnId);
  if (thread === undefined) return before;
  const missing = lastCalls(thread).filter(({ callId, startedIn, result }) =>
    startedIn !== undefined && result === undefined && !before.some((known) => known.callId === callId)
  );
  return [...before, ...missing.map(({ callId, name }) => unknownResult({ queryId, turnId, callId }, name))];
}

function unknownResult(
  of: { queryId: string; turnId: string; callId: string },
  name: string,
): ToolResultEvent {
  return { kind: "tool_result", ...of, name, outcome: "unknown", output: UNKNOWN_OUTCOME };
}

/** Whether nothing of the turn runs here, and nothing of it has to be written. */
export function isAtRest({ runs, proposed }: ActingTurn): boolean {
  return runs.size === 0 && proposed.length === 0;
}

/** Back into the queue: first, as it has begun, but not before one of its calls can go on. */
export function park(state: SessionState, { query, seq, text }: ActingTurn): QueuedTurn {
  return put(state, { phase: "queued", query, seq, begun: begunHere(text), shown: text });
}

/** A call that was started: again, if it may be repeated; or for the first time, if the start is ours and it has not run here. */
function mayRunNow(
  { acted }: SessionState,
  { callId, startedIn, isIdempotent }: CallView,
  epoch: number,
): boolean {
  return isIdempotent || startedIn === epoch && !acted.has(callId);
}

function expiryOf(
  { name, needs }: CallView,
  of: { queryId: string; turnId: string; callId: string },
): ToolEvent {
  if (needs !== "approval") {
    return { kind: "tool_result", ...of, name, outcome: "error", output: NOBODY_CAME[needs] };
  }
  return { kind: "approval_decided", ...of, decisionId: "expired", verdict: "expired" };
}

function runningCalls({ runs }: ActingTurn): string[] {
  return [...runs].flatMap(([callId, { name }]) => name === "running" ? [callId] : []);
}

function callOf({ threads }: SessionState, turnId: string, callId: string): CallView | undefined {
  return lastCalls(threads.get(turnId)).find((call) => call.callId === callId);
}

/** The open turn that a call belongs to, and the call. */
export function findCall(state: SessionState, callId: string): { turn: Turn; call: CallView } | undefined {
  for (const turn of state.turns.values()) {
    const call = callOf(state, turn.query.turnId, callId);
    if (call !== undefined) return { turn, call };
  }
  return undefined;
}

/** The tool of a call whose turn is open. */
export function nameOfCall(state: SessionState, callId: string): string | undefined {
  return findCall(state, callId)?.call.name;
}

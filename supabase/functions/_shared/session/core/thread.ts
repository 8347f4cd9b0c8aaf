/** The steps of an open turn: a fold over its events of tool calls, the same at every worker. */

import type { ModelMessage } from "../../ports/model.ts";
import type {
  ApprovalVerdict,
  CallNeeds,
  ResultOutcome,
  ToolCallEvent,
  ToolEvent,
} from "../../protocol/tool_events.ts";

/** A call, as the log has it. */
export interface CallView {
  callId: string;
  name: string;
  input: unknown;
  needs: CallNeeds;
  asUser: boolean;
  isIdempotent: boolean;
  expiresAt: number;
  decision: { id: string; verdict: ApprovalVerdict; input?: unknown; comment?: string } | undefined;
  /** The epoch of the lease under which it was started. */
  startedIn: number | undefined;
  result: { outcome: ResultOutcome; output: string } | undefined;
}

export interface StepView {
  /** The part of the turn's text that this step has brought. */
  content: string;
  reasoningDetails: readonly unknown[] | undefined;
  calls: CallView[];
}

/** The steps of one turn, oldest first. All but the last have all their results. */
export type Thread = StepView[];

/**
 * What a call is up to. `approval`, `client` and `user` wait for somebody. `expired`: nobody came in time. `settled`: the model can be
 * told what came of it.
 */
export type CallStatus = "approval" | "client" | "user" | "expired" | "ready" | "started" | "settled";

export interface Surroundings {
  /** Whether the user has a connection at this worker. It is closed when its token expires. */
  hasUser: boolean;
  /** Milliseconds since the epoch. */
  now: number;
}

/** Folds an event of a tool call into the thread. */
export function foldTool(thread: Thread, event: ToolEvent): void {
  if (event.kind === "tool_call") return addCall(thread, event);
  const call = thread.at(-1)?.calls.find(({ callId }) => callId === event.callId);
  if (call === undefined) return;
  switch (event.kind) {
    case "approval_requested":
      return;
    case "approval_decided": {
      const { decisionId: id, verdict, input, comment } = event;
      call.decision = {
        id,
        verdict,
        ...(input !== undefined && { input }),
        ...(comment !== undefined && { comment }),
      };
      return;
    }
    case "tool_started":
      call.startedIn = event.epoch;
      return;
    case "tool_result":
      call.result = { outcome: event.outcome, output: event.output };
      return;
  }
}

function addCall(thread: Thread, event: ToolCallEvent): void {
  const { callId, step, name, input, needs, asUser, isIdempotent, expiresAt } = event;
  if (step > thread.length) {
    thread.push({ content: event.content ?? "", reasoningDetails: event.reasoningDetails, calls: [] });
  }
  thread.at(-1)?.calls.push({
    callId,
    name,
    input,
    needs,
    asUser,
    isIdempotent,
    expiresAt,
    decision: undefined,
    startedIn: undefined,
    result: undefined,
  });
}

/** The text of a turn up to the end of its last step. */
export function textBefore(thread: Thread | undefined): string {
  return thread?.map(({ content }) => content).join("") ?? "";
}

/** The calls of the last step. */
export function lastCalls(thread: Thread | undefined): readonly CallView[] {
  return thread?.at(-1)?.calls ?? [];
}

export function statusOf(call: CallView, { hasUser, now }: Surroundings): CallStatus {
  const { needs, asUser, decision, startedIn, result, expiresAt } = call;
  if (result !== undefined) return "settled";
  if (decision?.verdict === "reject" || decision?.verdict === "expired") return "settled";
  const isLate = now >= expiresAt;
  if (needs === "client") return isLate ? "expired" : "client";
  if (needs === "approval" && decision === undefined) return isLate ? "expired" : "approval";
  if (startedIn !== undefined && !call.isIdempotent) return "started";
  if (asUser && !hasUser) return isLate ? "expired" : "user";
  return startedIn === undefined ? "ready" : "started";
}

/** Whether the model can be asked again: every call of the last step is settled. */
export function isSettled(thread: Thread | undefined, around: Surroundings): boolean {
  return lastCalls(thread).every((call) => statusOf(call, around) === "settled");
}

const WAITING: ReadonlySet<CallStatus> = new Set(["approval", "client", "user"]);

/** Whether nothing can be done for the turn before somebody comes: at least one call waits, and no other can go on. */
export function isBlocked(thread: Thread | undefined, around: Surroundings): boolean {
  let waits = false;
  for (const call of lastCalls(thread)) {
    const status = statusOf(call, around);
    if (WAITING.has(status)) waits = true;
    else if (status !== "settled") return false;
  }
  return waits;
}

/** Whether the turn goes on after a wait, and no worker has died with a call of it. */
export function hasWaited(thread: Thread | undefined, around: Surroundings): boolean {
  return !isSettled(thread, around) &&
    lastCalls(thread).every(({ startedIn, result }) => startedIn === undefined || result !== undefined);
}

/** When the first of the waiting calls expires, in milliseconds since the epoch; undefined if none waits. */
export function nextExpiry(thread: Thread | undefined, around: Surroundings): number | undefined {
  let first: number | undefined;
  for (const call of lastCalls(thread)) {
    if (!WAITING.has(statusOf(call, around))) continue;
    if (first === undefined || call.expiresAt < first) first = call.expiresAt;
  }
  return first;
}

/** How many of the last steps had only calls that did not run because they were wrong. */
export function refusedSteps(thread: Thread): number {
  const isRefused = ({ calls }: StepView): boolean =>
    calls.every(({ startedIn, decision, result, needs }) =>
      startedIn === undefined && decision === undefined && needs === "nothing" && result?.outcome === "error"
    );
  return thread.length - 1 - thread.findLastIndex((step) => !isRefused(step));
}

/** The input with which a call runs. */
export function inputOf({ input, decision }: CallView): unknown {
  return decision?.verdict === "modify" ? decision.input : input;
}

/** What the model is given of the steps, behind the question. */
export function messagesOf(thread: Thread): ModelMessage[] {
  return thread.flatMap(({ content, calls, reasoningDetails }, step): ModelMessage[] => [
    {
      role: "assistant",
      content: content.trim(),
      calls: calls.map(({ name, input }, place) => ({
        id: modelCallId(step, place),
        name,
        arguments: isObject(input) ? JSON.stringify(input) : "{}",
      })),
      ...(reasoningDetails !== undefined && { reasoningDetails }),
    },
    ...calls.map((call, place): ModelMessage => ({
      role: "tool",
      callId: modelCallId(step, place),
      content: told(call),
    })),
  ]);
}

/** Nine letters and digits: some providers take no other ids. */
function modelCallId(step: number, place: number): string {
  return `c${String(step % 1000).padStart(4, "0")}${String(place % 10_000).padStart(4, "0")}`;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function told({ result, decision }: CallView): string {
  if (result !== undefined) {
    if (decision?.verdict !== "modify") return result.output;
    return `The user has changed the input to ${JSON.stringify(decision.input)}. ${result.output}`;
  }
  if (decision?.verdict === "expired") {
    return "The call did not run: nobody has allowed it in time.";
  }
  const why = decision?.comment === undefined ? "" : ` The user says: ${JSON.stringify(decision.comment)}`;
  return `The call did not run: the user does not allow it.${why}`;
}

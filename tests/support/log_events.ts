/** Events of a session's log for tests. Ids make each event unique: the turn of query `q` is `t-q`. */

import type { QueryOptions } from "../../supabase/functions/_shared/protocol/client_frames.ts";
import type {
  CancelledEvent,
  ClearedEvent,
  ConfiguredEvent,
  ErrorEvent,
  NotificationEvent,
  QueryEvent,
  ResponseEvent,
} from "../../supabase/functions/_shared/protocol/log_event.ts";
import type {
  ApprovalDecidedEvent,
  ApprovalRequestedEvent,
  ApprovalVerdict,
  ToolCallEvent,
  ToolEvent,
  ToolResultEvent,
} from "../../supabase/functions/_shared/protocol/tool_events.ts";

export function query(id: string, content = "?"): QueryEvent {
  return {
    kind: "query",
    queryId: id,
    turnId: `t-${id}`,
    content,
    options: {},
    priority: "normal",
    first: false,
    connectionId: "c",
    feedback: [],
  };
}

export function response(id: string, content = "!"): ResponseEvent {
  return { kind: "response", queryId: id, turnId: `t-${id}`, content, finishReason: "stop", model: "m" };
}

export function failure(id: string, partial = ""): ErrorEvent {
  return {
    kind: "error",
    queryId: id,
    turnId: `t-${id}`,
    code: "interrupted",
    content: "no",
    retryable: true,
    partial,
  };
}

export function cancelled(id: string, partial = ""): CancelledEvent {
  return { kind: "cancelled", queryId: id, turnId: `t-${id}`, reason: "cancelled", partial };
}

export function notification(id: string, content = "hello"): NotificationEvent {
  return { kind: "notification", notificationId: id, type: "notification", content };
}

export function configured(id: string, options: QueryOptions): ConfiguredEvent {
  return { kind: "configured", configId: id, connectionId: "c", options };
}

export function cleared(id: string): ClearedEvent {
  return { kind: "cleared", clearId: id, connectionId: "c" };
}

interface CallFields {
  place?: number;
  step?: number;
}

function callIdOf(id: string, { place = 0, step = 1 }: CallFields): string {
  return `t-${id}:${step}.1:${place}`;
}

/** The model wants a tool in the turn of query `id`. */
export function toolCall(
  id: string,
  name: string,
  fields: CallFields & Partial<Pick<ToolCallEvent, "input" | "needs" | "asUser" | "content">> = {},
): ToolCallEvent {
  const { place: _, step = 1, ...rest } = fields;
  return {
    kind: "tool_call",
    queryId: id,
    turnId: `t-${id}`,
    callId: callIdOf(id, fields),
    step,
    name,
    input: {},
    needs: "nothing",
    asUser: false,
    isIdempotent: false,
    expiresAt: EXPIRES_AT,
    ...rest,
  };
}

export function approvalRequested(id: string, name: string, fields: CallFields = {}): ApprovalRequestedEvent {
  const ids = { queryId: id, turnId: `t-${id}`, callId: callIdOf(id, fields) };
  return { kind: "approval_requested", ...ids, name, input: {}, expiresAt: EXPIRES_AT };
}

export function approvalDecided(
  id: string,
  verdict: ApprovalVerdict,
  { input, comment, ...call }: CallFields & { input?: unknown; comment?: string } = {},
): ApprovalDecidedEvent {
  return {
    kind: "approval_decided",
    queryId: id,
    turnId: `t-${id}`,
    callId: callIdOf(id, call),
    decisionId: `d-${callIdOf(id, call)}`,
    verdict,
    ...(input !== undefined && { input }),
    ...(comment !== undefined && { comment }),
  };
}

export function toolResult(
  id: string,
  name: string,
  { output = "1", outcome = "ok", ...call }:
    & CallFields
    & Partial<Pick<ToolResultEvent, "output" | "outcome">> = {},
): ToolResultEvent {
  const ids = { queryId: id, turnId: `t-${id}`, callId: callIdOf(id, call) };
  return { kind: "tool_result", ...ids, name, outcome, output };
}

/** A day after the beginning of the tests' time, in milliseconds since the epoch. */
const EXPIRES_AT = 86_400_000;

/** The events of a step of query `id` with one call that needs approval. */
export function approvalStep(id: string, expiresAt: number): ToolEvent[] {
  const call = { input: { amount: 25 }, asUser: true, content: "One moment." };
  return [
    { ...toolCall(id, "refund", { ...call, needs: "approval" }), expiresAt },
    { ...approvalRequested(id, "refund"), input: call.input, expiresAt },
  ];
}

/** An approval of that call, under this key. */
export function decided(id: string, decisionId: string): ToolEvent {
  return { ...approvalDecided(id, "approve"), decisionId };
}

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
import type { ToolEvent } from "../../supabase/functions/_shared/protocol/tool_events.ts";

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

/** The events of a step of query `id` with one call that needs approval. */
export function approvalStep(id: string, expiresAt: number): ToolEvent[] {
  const of = {
    queryId: id,
    turnId: `t-${id}`,
    callId: `t-${id}:1.1:0`,
    name: "refund",
    input: { amount: 25 },
    expiresAt,
  };
  return [
    {
      kind: "tool_call",
      ...of,
      step: 1,
      needs: "approval",
      asUser: true,
      isIdempotent: false,
      content: "One moment.",
    },
    { kind: "approval_requested", ...of },
  ];
}

export function decided(id: string, decisionId: string): ToolEvent {
  return {
    kind: "approval_decided",
    queryId: id,
    turnId: `t-${id}`,
    callId: `t-${id}:1.1:0`,
    decisionId,
    verdict: "approve",
  };
}

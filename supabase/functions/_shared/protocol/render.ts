/** Renders durable events, statuses and errors as frames on the wire. */

import type { AgentError } from "../errors.ts";
import type { LogEvent, NotificationEvent } from "./log_event.ts";
import { renderTool, renderToolStatus } from "./render_tools.ts";
import { stamp } from "./stamp.ts";
import { isToolEvent } from "./tool_events.ts";
import type { ErrorFrame, NotificationFrame, ServerFrame, StatusFrame } from "./server_frames.ts";

/**
 * The frame of a durable event, live and in a replay. The connection that asked a query gets a `status` instead. `tools`: whether the
 * client knows the frames of tool calls.
 */
export function renderEvent(event: LogEvent, { tools } = { tools: false }): ServerFrame {
  if (isToolEvent(event)) return tools ? renderTool(event) : renderToolStatus(event);
  const { seq } = event;
  const timestamp = stamp(event.at);
  switch (event.kind) {
    case "query":
      return {
        type: "query",
        content: event.content,
        timestamp,
        seq,
        id: event.queryId,
        turn_id: event.turnId,
      };
    case "rewound":
      return {
        type: "status",
        content: "Rewound",
        timestamp,
        seq,
        code: "rewound",
        turn_id: event.turnId,
        in_reply_to: event.queryId,
        data: { query_id: event.replaces, from_seq: event.fromSeq },
      };
    case "response":
      return {
        type: "response",
        content: event.content,
        timestamp,
        seq,
        turn_id: event.turnId,
        in_reply_to: event.queryId,
        finish_reason: event.finishReason,
        model: event.model,
        ...(event.usage === undefined ? {} : { usage: event.usage }),
        ...(event.continued === undefined ? {} : { continued: { ways: [...event.continued.ways] } }),
        ...(event.trimmed === undefined ? {} : { data: { trimmed: event.trimmed } }),
      };
    case "error":
      return {
        type: "error",
        content: event.content,
        timestamp,
        seq,
        code: event.code,
        turn_id: event.turnId,
        in_reply_to: event.queryId,
        retryable: event.retryable,
        ...(event.retryAfterMs === undefined ? {} : { retry_after_ms: event.retryAfterMs }),
        ...(event.partial === "" ? {} : { partial: event.partial }),
        ...(event.usage === undefined ? {} : { usage: event.usage }),
      };
    case "cancelled":
      return {
        type: "status",
        content: "Cancelled",
        timestamp,
        seq,
        code: "cancelled",
        turn_id: event.turnId,
        in_reply_to: event.queryId,
        reason: event.reason,
        partial: event.partial,
        ...(event.usage === undefined ? {} : { usage: event.usage }),
      };
    case "cleared":
      return {
        type: "status",
        content: "Conversation cleared",
        timestamp,
        seq,
        code: "cleared",
        ...(event.commandId === undefined ? {} : { in_reply_to: event.commandId }),
      };
    case "configured":
      return {
        type: "status",
        content: "Configured",
        timestamp,
        seq,
        code: "configured",
        data: { ...event.options },
        ...(event.commandId === undefined ? {} : { in_reply_to: event.commandId }),
      };
    case "notification":
      return { ...renderNotification(event, event.at), seq };
  }
}

/** An `error` frame that is not part of the log. */
export function renderError(error: AgentError, at: number, inReplyTo?: string): ErrorFrame {
  return {
    type: "error",
    content: error.message,
    timestamp: stamp(at),
    code: error.code,
    retryable: error.retryable,
    ...(error.retryAfterMs === undefined ? {} : { retry_after_ms: error.retryAfterMs }),
    ...(inReplyTo === undefined ? {} : { in_reply_to: inReplyTo }),
    ...error.data,
  };
}

export type StatusFields = Omit<StatusFrame, "type" | "content" | "timestamp" | "code">;

/** A `status` frame. It is not a durable event unless `fields` has a `seq`. */
export function renderStatus(
  code: string,
  content: string,
  at: number,
  fields: StatusFields = {},
): StatusFrame {
  return { type: "status", content, timestamp: stamp(at), code, ...fields };
}

/** A notification from another function, without the `seq` that it has if it is in a session's log. */
export function renderNotification(
  { type, notificationId: id, content, code, data, source }: Omit<NotificationEvent, "kind">,
  at: number,
): NotificationFrame | StatusFrame {
  const fields = { id, ...(data && { data }), ...(source !== undefined && { source }) };
  if (type === "status") return renderStatus(code ?? "notified", content, at, fields);
  return { type, content, timestamp: stamp(at), ...(code !== undefined && { code }), ...fields };
}

/** The `status` that says that a turn has started. It has no `seq`. */
export function renderThinking(
  { queryId, turnId }: { queryId: string; turnId: string },
  at: number,
): StatusFrame {
  return renderStatus("thinking", "Thinking...", at, { in_reply_to: queryId, turn_id: turnId });
}

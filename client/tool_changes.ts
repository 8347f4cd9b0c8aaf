/** What the frames of a session, or the rows of its log, say about tool calls. */

import type { ServerFrame } from "./frames.ts";
import type { ToolChange, ToolDecision } from "./tool_calls.ts";
import type { StoredEvent } from "./ui_messages.ts";

/** Undefined for a frame that changes no tool call. */
export function changeOf(frame: ServerFrame): ToolChange | undefined {
  switch (frame.type) {
    case "tool_call": {
      const { step, name, input, needs, expires_at: expiresAt, text } = frame;
      return {
        kind: "tool_call",
        ...idsOf(frame),
        step,
        name,
        input,
        needs,
        ...(expiresAt !== undefined && { expiresAt }),
        ...(text !== undefined && { text }),
      };
    }
    case "approval_requested":
      return { kind: "approval_requested", ...idsOf(frame), expiresAt: frame.expires_at };
    case "approval_decided": {
      const { input } = frame;
      const decision = decisionOf(frame);
      return { kind: "approval_decided", ...idsOf(frame), decision, ...(input !== undefined && { input }) };
    }
    case "tool_started":
      return { kind: "tool_started", ...idsOf(frame) };
    case "tool_result":
      return { kind: "tool_result", ...idsOf(frame), outcome: frame.outcome, output: frame.output };
    case "response":
      return { kind: "end", turnId: frame.turn_id, end: {} };
    case "error": {
      const { turn_id: turnId, seq, code } = frame;
      return turnId === undefined || seq === undefined
        ? undefined
        : { kind: "end", turnId, end: { outcome: "failed", reason: code } };
    }
    case "status": {
      const { turn_id: turnId, seq, code, reason = "cancelled" } = frame;
      return turnId === undefined || seq === undefined || code !== "cancelled"
        ? undefined
        : { kind: "end", turnId, end: { outcome: "cancelled", reason } };
    }
    default:
      return undefined;
  }
}

/** The same for an event of the table `agent_events`. */
export function storedChangeOf(event: StoredEvent): ToolChange | undefined {
  const { kind, turnId = "", queryId = "", callId = "", input } = event;
  const ids = { turnId, queryId, callId };
  switch (kind) {
    case "tool_call": {
      const { step = 0, name = "", needs = "nothing", expiresAt, content: text, asUser } = event;
      return {
        kind,
        ...ids,
        step,
        name,
        input,
        needs,
        ...((needs !== "nothing" || asUser === true) && { expiresAt: stamp(expiresAt) }),
        ...(text !== undefined && { text }),
      };
    }
    case "approval_requested":
      return { kind, ...ids, expiresAt: stamp(event.expiresAt) };
    case "approval_decided":
      return { kind, ...ids, decision: decisionOf(event), ...(input !== undefined && { input }) };
    case "tool_started":
      return { kind, ...ids };
    case "tool_result":
      return { kind, ...ids, outcome: event.outcome ?? "unknown", output: event.output ?? "" };
    case "response":
      return { kind: "end", turnId, end: {} };
    case "error":
      return { kind: "end", turnId, end: { outcome: "failed", reason: event.code ?? "internal" } };
    case "cancelled":
      return { kind: "end", turnId, end: { outcome: "cancelled", reason: event.reason ?? "cancelled" } };
    default:
      return undefined;
  }
}

function idsOf(
  frame: { turn_id: string; in_reply_to: string; call_id: string },
): { turnId: string; queryId: string; callId: string } {
  return { turnId: frame.turn_id, queryId: frame.in_reply_to, callId: frame.call_id };
}

function decisionOf(
  { verdict = "expired", comment, by }: {
    verdict?: ToolDecision["verdict"] | undefined;
    comment?: string | undefined;
    by?: string | undefined;
  },
): ToolDecision {
  return { verdict, ...(comment !== undefined && { comment }), ...(by !== undefined && { by }) };
}

function stamp(at = 0): string {
  return new Date(at).toISOString();
}

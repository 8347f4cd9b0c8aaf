/** Renders the events of tool calls: as frames of their own for clients that know them, and as a `status` for all others. */

import type { Logged } from "./log_event.ts";
import { stamp } from "./stamp.ts";
import type { StatusFrame, ToolFrame } from "./server_frames.ts";
import type { ToolEvent } from "./tool_events.ts";

type Logs = ToolEvent & Logged;

/** The frame for clients with `tools=true`. */
export function renderTool(event: Logs): ToolFrame {
  const of = {
    content: inWords(event),
    timestamp: stamp(event.at),
    seq: event.seq,
    turn_id: event.turnId,
    in_reply_to: event.queryId,
    call_id: event.callId,
  };
  switch (event.kind) {
    case "tool_call": {
      const { step, name, input, needs, asUser, expiresAt, content } = event;
      return {
        type: "tool_call",
        ...of,
        step,
        name,
        input,
        needs,
        ...((needs !== "nothing" || asUser) && { expires_at: stamp(expiresAt) }),
        ...(content !== undefined && { text: content }),
      };
    }
    case "approval_requested": {
      const { callId, name, input, expiresAt } = event;
      return {
        type: "approval_requested",
        ...of,
        approval_id: callId,
        name,
        input,
        expires_at: stamp(expiresAt),
      };
    }
    case "approval_decided": {
      const { callId, verdict, input, comment, by } = event;
      return {
        type: "approval_decided",
        ...of,
        approval_id: callId,
        verdict,
        ...(input !== undefined && { input }),
        ...(comment !== undefined && { comment }),
        ...(by !== undefined && { by }),
      };
    }
    case "tool_started":
      return { type: "tool_started", ...of, name: event.name };
    case "tool_result":
      return { type: "tool_result", ...of, name: event.name, outcome: event.outcome, output: event.output };
  }
}

/** The frame for clients that know nothing of tools. */
export function renderToolStatus(event: Logs): StatusFrame {
  return {
    type: "status",
    content: inWords(event),
    timestamp: stamp(event.at),
    code: event.kind,
    seq: event.seq,
    turn_id: event.turnId,
    in_reply_to: event.queryId,
    data: dataOf(event),
  };
}

function dataOf(event: Logs): Record<string, unknown> {
  const { callId } = event;
  switch (event.kind) {
    case "tool_call":
      return { call_id: callId, name: event.name };
    case "approval_requested":
      return {
        approval_id: callId,
        name: event.name,
        input: event.input,
        expires_at: stamp(event.expiresAt),
      };
    case "approval_decided":
      return { approval_id: callId, verdict: event.verdict };
    case "tool_started":
      return { call_id: callId, name: event.name };
    case "tool_result":
      return { call_id: callId, name: event.name, outcome: event.outcome };
  }
}

function inWords(event: Logs): string {
  switch (event.kind) {
    case "tool_call":
      return `Calling ${event.name}`;
    case "approval_requested":
      return `Waiting for approval of ${event.name}`;
    case "approval_decided":
      return DECIDED[event.verdict];
    case "tool_started":
      return `Running ${event.name}`;
    case "tool_result":
      return event.outcome === "ok" ? `Done: ${event.name}` : `Failed: ${event.name}`;
  }
}

const DECIDED = {
  approve: "Approved",
  reject: "Rejected",
  modify: "Approved with changes",
  expired: "Nobody has decided in time",
} as const;

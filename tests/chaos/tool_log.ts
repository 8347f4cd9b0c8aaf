/** The events of tool calls: as frames, as rows of the log, and as the calls that they are about. */

import type { Frame, Shown, StoredEvent } from "./frames.ts";
import { sortedJson } from "./json.ts";
import type { DurableEvent } from "./records.ts";
import { type LoggedCall, TOOL_KINDS, type ToolKind } from "./tool_records.ts";

export function isToolKind(kind: string | undefined): kind is ToolKind {
  const kinds: readonly (string | undefined)[] = TOOL_KINDS;
  return kinds.includes(kind);
}

/** The event in a frame; undefined if it is about no call. `detail` only with `tools=true`. */
export function readToolFrame(frame: Frame): DurableEvent | undefined {
  const { seq, type, code, data = {} } = frame;
  if (seq === undefined) return undefined;
  if (isToolKind(type)) {
    return { seq, kind: type, key: frame.call_id ?? "", ...wordsOf(type, frame) };
  }
  if (type !== "status" || !isToolKind(code)) return undefined;
  const shown: Shown = data;
  const { text } = wordsOf(code, shown);
  return { seq, kind: code, key: String(data.call_id ?? data.approval_id ?? ""), text };
}

/** Everything that a client is shown of the call in a frame, whether it asked for tools or not. */
export function shownIn(frame: Frame): Shown {
  return frame.type === "status" ? frame.data ?? {} : frame;
}

export function readStoredTool(seq: number, kind: ToolKind, event: StoredEvent): DurableEvent {
  return { seq, kind, key: event.callId ?? "", ...wordsOf(kind, event) };
}

function wordsOf(
  kind: ToolKind,
  { name = "", input, verdict = "", outcome = "", output = "", comment = "", needs = "" }: Shown,
): { text: string; detail: string } {
  switch (kind) {
    case "tool_call":
      return { text: name, detail: sortedJson([needs, input]) };
    case "approval_requested":
      return { text: name, detail: sortedJson(input) };
    case "approval_decided":
      return { text: verdict, detail: sortedJson([input ?? null, comment]) };
    case "tool_started":
      return { text: name, detail: "" };
    case "tool_result":
      return { text: `${name} ${outcome}`, detail: output };
  }
}

/** Adds an event of the log to the calls of its session. */
export function addToCalls(
  calls: LoggedCall[],
  { seq, at, kind, event }: { seq: number; at: number; kind: ToolKind; event: StoredEvent },
): void {
  const { callId = "", queryId = "" } = event;
  if (kind === "tool_call") {
    const { step = 0, name = "", input, needs = "", isIdempotent = false, expiresAt = 0 } = event;
    const empty = { decisions: [], starts: [], results: [] };
    calls.push({ callId, queryId, step, seq, name, input, needs, isIdempotent, expiresAt, ...empty });
    return;
  }
  const call = calls.find((one) => one.callId === callId);
  if (call === undefined) return;
  if (kind === "tool_started") call.starts.push(seq);
  if (kind === "tool_result") {
    call.results.push({ seq, outcome: event.outcome ?? "", output: event.output ?? "" });
  }
  if (kind === "approval_decided") {
    const { decisionId: id = "", verdict = "", input, comment } = event;
    const edited = { ...(input !== undefined && { input }), ...(comment !== undefined && { comment }) };
    call.decisions.push({ seq, id, verdict, at, ...edited });
  }
}

/** Converts frames and log rows to durable events. */

import type { Frame, StoredEvent } from "./frames.ts";
import type { DurableEvent, SeenEvent } from "./records.ts";
import { isToolKind, readStoredTool, readToolFrame } from "./tool_log.ts";

const ACKS: readonly (string | undefined)[] = ["thinking", "queued"];

/** The durable event in a frame; undefined if there is none. */
export function readEvent(frame: Frame): SeenEvent | undefined {
  const { seq, type, code, in_reply_to: queryId = "", content } = frame;
  if (seq === undefined) return undefined;
  const ofCall = readToolFrame(frame);
  if (ofCall !== undefined) return ofCall;
  const isReplay = frame.replay && { isReplay: frame.replay };
  if (type === "query") return { seq, kind: "query", key: frame.id ?? "", text: content };
  if (type === "response") return { seq, kind: "response", key: queryId, text: content, ...isReplay };
  if (type === "error") {
    return {
      seq,
      kind: "error",
      key: queryId,
      text: frame.partial ?? "",
      ...(code && { code }),
      ...isReplay,
    };
  }
  if (frame.id !== undefined) return { seq, kind: "notification", key: frame.id, text: content };
  if (code === "rewound") return { seq, kind: "rewound", key: queryId, text: String(frame.data?.query_id) };
  if (code === "cleared") return { seq, kind: "cleared", key: "" };
  if (code === "cancelled") {
    return { seq, kind: "cancelled", key: queryId, text: frame.partial ?? "", ...isReplay };
  }
  if (ACKS.includes(code)) return { seq, kind: "query", key: queryId, isAck: true };
  throw new TypeError(`Cannot read durable frame: ${JSON.stringify(frame).slice(0, 300)}`);
}

export function readStored(seq: number, event: StoredEvent): DurableEvent {
  if (isToolKind(event.kind)) return readStoredTool(seq, event.kind, event);
  const { kind, queryId, notificationId, content, partial, code, replaces } = event;
  const text = kind === "error" || kind === "cancelled"
    ? partial ?? ""
    : kind === "rewound"
    ? replaces
    : content;
  return {
    seq,
    kind,
    key: queryId ?? notificationId ?? "",
    ...(kind !== "cleared" && text !== undefined && { text }),
    ...(kind === "error" && code !== undefined && { code }),
  };
}

/**
 * Equal for every client that sees the same event. A query's text is left out, because its sender does not receive it.
 */
export function sameness({ kind, key, text = "", code = "" }: DurableEvent): string {
  return kind === "query" ? `query ${key}` : `${kind} ${key} ${code} ${text}`;
}

/** Whether it ends a turn. */
export function isTerminal({ kind }: DurableEvent): boolean {
  return kind === "response" || kind === "error" || kind === "cancelled";
}

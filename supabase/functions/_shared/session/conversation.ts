/** The conversation as people read it: the questions and answers of the log that are not superseded, newest page first. */

import type { EventLog } from "../ports/event_log.ts";
import type { LogEvent } from "../protocol/log_event.ts";
import { stamp } from "../protocol/stamp.ts";
import { isToolEvent } from "../protocol/tool_events.ts";

/** A page ends before it has more text than this, unless one message alone has: it must fit the send buffer. */
const MAX_PAGE_CHARS = 262_144;

export interface ConversationMessage {
  seq: number;
  role: "user" | "assistant";
  content: string;
  turn_id: string;
  timestamp: string;
}

export interface ConversationPage extends Record<string, unknown> {
  /** Oldest first. */
  messages: ConversationMessage[];
  /** Ask with this as `before_seq` for the page before; left out where there is none. */
  before_seq?: number;
}

export interface ConversationRange {
  eventLog: EventLog;
  /** Only what came before this `seq`. */
  beforeSeq: number;
  /** Events looked at, at most. */
  limit: number;
}

/** Rejects as the log does. */
export async function readConversation(
  sessionId: string,
  range: ConversationRange,
): Promise<ConversationPage> {
  const { eventLog, beforeSeq, limit } = range;
  const { events, isFirst } = await eventLog.readVisible(sessionId, { beforeSeq, limit });
  const messages: ConversationMessage[] = [];
  let chars = 0;
  let reached = beforeSeq;
  for (const event of events.toReversed()) {
    const message = toMessage(event);
    chars += message?.content.length ?? 0;
    if (chars > MAX_PAGE_CHARS && messages.length > 0) break;
    reached = event.seq;
    if (message !== undefined) messages.unshift(message);
  }
  const hasEarlier = !isFirst || reached > (events[0]?.seq ?? beforeSeq);
  return hasEarlier && reached < beforeSeq ? { messages, before_seq: reached } : { messages };
}

function toMessage(event: LogEvent): ConversationMessage | undefined {
  const said = saidIn(event);
  if (said === undefined || !("turnId" in event)) return undefined;
  return { seq: event.seq, ...said, turn_id: event.turnId, timestamp: stamp(event.at) };
}

/** What was said: an answer that was cut short counts by what there is of it. */
function saidIn(event: LogEvent): Pick<ConversationMessage, "role" | "content"> | undefined {
  if (isToolEvent(event)) return undefined;
  switch (event.kind) {
    case "query":
      return { role: "user", content: event.content };
    case "response":
      return { role: "assistant", content: event.content };
    case "cancelled":
    case "error":
      return event.partial === "" ? undefined : { role: "assistant", content: event.partial };
    case "cleared":
    case "configured":
    case "notification":
    case "rewound":
      return undefined;
  }
}

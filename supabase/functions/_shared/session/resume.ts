/** What a client is told about its new or resumed session. */

import type { LogPage } from "../ports/event_log.ts";
import type { SessionRecord, StoredSession } from "../ports/session_store.ts";
import type { ResumeRequest } from "../protocol/connect_request.ts";
import type { NotificationFrame } from "../protocol/server_frames.ts";

/** How a resume went; `events from_seq … to_seq` are what is replayed. */
export type Resumed = NonNullable<NotificationFrame["resumed"]>;

/** For a session that is unknown, has expired or is someone else's. */
const UNKNOWN_SESSION: Resumed = {
  recovered: false,
  from_seq: 1,
  to_seq: 0,
  reason: "unknown_session",
};

/** What a client that gets a new session is told. A new chat is no failed resume, unless the client has seen some of it. */
export function unknownSession({ sessionId, lastSeq = 0 }: Partial<ResumeRequest>): Resumed | undefined {
  const wantedMore = sessionId !== undefined || lastSeq > 0;
  return wantedMore ? UNKNOWN_SESSION : undefined;
}

/**
 * What a client that has seen everything up to `lastSeq` is told about the events after it. A negative `lastSeq` is for as many of the
 * newest events.
 */
export function judgeResume({ oldestSeq, lastSeq: newest }: LogPage, lastSeq: number): Resumed {
  if (lastSeq < 0) {
    return { recovered: true, from_seq: Math.max(oldestSeq, newest + lastSeq + 1), to_seq: newest };
  }
  if (lastSeq > newest) {
    return { recovered: false, from_seq: oldestSeq, to_seq: newest, reason: "cursor_ahead" };
  }
  if (lastSeq + 1 < oldestSeq) {
    return { recovered: false, from_seq: oldestSeq, to_seq: newest, reason: "gap" };
  }
  return { recovered: true, from_seq: lastSeq + 1, to_seq: newest };
}

/** A new session, in the form in which a store returns one. */
export function newSession(record: SessionRecord): StoredSession {
  const lease = { epoch: 0, holder: "nobody", leftMs: 0 } as const;
  return {
    record,
    tail: { events: [], oldestSeq: 1, lastSeq: 0, lease },
    openTurns: [],
    defaults: {},
    notes: [],
  };
}

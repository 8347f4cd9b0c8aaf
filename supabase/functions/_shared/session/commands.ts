/**
 * What each `command` does. Every one is answered by a frame with its id as `in_reply_to`, and not before its effect is sure:
 * where the store is out of reach the answer is an error, and nothing has changed.
 */

import type { EventLog } from "../ports/event_log.ts";
import type { Clock } from "../ports/runtime.ts";
import type { SessionRecord, SessionStore } from "../ports/session_store.ts";
import type { CommandFrame } from "../protocol/client_frames.ts";
import { renderStatus, stamp } from "../protocol/render.ts";
import { VERBS } from "../protocol/verbs.ts";
import type { Connection } from "./connection.ts";
import { readConversation } from "./conversation.ts";
import type { Session } from "./session.ts";

/** Rows of `history` and `sessions` where no limit is given. */
const DEFAULT_PAGE = 50;

export interface CommandDeps {
  clock: Clock;
  store: SessionStore;
  eventLog: EventLog;
  /** Whether a session outlives its worker. */
  isDurable: boolean;
  /**
   * Takes the session out of the store; then calls `onDeleted`, and closes its connections. Rejects as the store does: nothing
   * has changed then.
   */
  deleteSession(session: Session, onDeleted: () => void): Promise<void>;
}

/** A command of a connection that holds a session: all but `auth`, which is the handshake's. */
export type SessionCommand = Exclude<CommandFrame, { verb: "auth" }>;

/** Rejects with an {@linkcode AgentError}, which is the answer then. */
export async function runCommand(
  { connection, session, frame }: { connection: Connection; session: Session; frame: SessionCommand },
  deps: CommandDeps,
): Promise<void> {
  const answer = (code: string, content: string, data?: Record<string, unknown>): void => {
    connection.send(renderStatus(code, content, deps.clock.now(), {
      ...(frame.id !== undefined && { in_reply_to: frame.id }),
      ...(data && { data }),
    }));
  };
  switch (frame.verb) {
    case "help":
      return answer("help", helpText(), { commands: Object.keys(VERBS) });
    case "ping":
      return answer("pong", "pong");
    case "status":
      return answer("session_status", session.isRunning ? "Running" : "Idle", {
        ...session.describe(),
        connection_id: connection.id,
        durable: deps.isDurable,
      });
    case "history": {
      const { limit = DEFAULT_PAGE, before_seq: beforeSeq = session.lastSeq + 1 } = frame.args;
      const page = await readConversation(session.record.sessionId, {
        eventLog: deps.eventLog,
        beforeSeq,
        limit,
      });
      return answer("history", `${page.messages.length} messages`, page);
    }
    case "clear":
      return await session.clear(connection, frame.id);
    case "cancel": {
      const ids = await session.cancel(frame.args);
      return ids.length === 0
        ? answer("nothing_to_cancel", "Nothing to cancel")
        : answer("cancelling", "Cancelling", { ids });
    }
    case "configure":
      return await session.configure(connection, frame.args, frame.id);
    case "sessions": {
      const page = await readSessions(session.record, deps.store, frame.args);
      return answer("sessions", `${page.sessions.length} sessions`, page);
    }
    case "delete":
      return await deps.deleteSession(session, () => answer("deleted", "Session deleted"));
  }
}

interface SessionsPage extends Record<string, unknown> {
  /** Newest first. */
  sessions: { session_id: string; created_at: string; current: boolean }[];
  /** Ask with this as `before` for the page after; left out where there is none. */
  before?: string;
}

/** The sessions of whoever owns this one: of an anonymous owner no other is known. */
async function readSessions(
  current: SessionRecord,
  store: SessionStore,
  { limit = DEFAULT_PAGE, before }: { limit?: number | undefined; before?: string | undefined },
): Promise<SessionsPage> {
  const { owner } = current;
  // One more than asked for: it tells whether there is another page.
  const records = owner.kind === "user"
    ? await store.list(owner.userId, { limit: limit + 1, ...(before !== undefined && { before }) })
    : before === undefined
    ? [current]
    : [];
  const sessions = records.slice(0, limit).map(({ sessionId, createdAt }) => ({
    session_id: sessionId,
    created_at: stamp(createdAt),
    current: sessionId === current.sessionId,
  }));
  const last = sessions.at(-1);
  return records.length > limit && last !== undefined ? { sessions, before: last.session_id } : { sessions };
}

function helpText(): string {
  const lines = Object.entries(VERBS).map(([verb, summary]) => `${verb}: ${summary}`);
  return `Send {"type":"command","content":"<verb>","args":{…}}.\n${lines.join("\n")}`;
}

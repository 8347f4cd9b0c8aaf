/**
 * What each `command` does. Every one is answered by a frame with its id as `in_reply_to`, and not before its effect is sure:
 * where the store is out of reach the answer is an error, and nothing has changed.
 */

import type { ConversationStore } from "../ports/conversation_store.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { Clock } from "../ports/runtime.ts";
import type { SessionOwner } from "../ports/session_store.ts";
import type { CommandFrame } from "../protocol/client_frames.ts";
import { renderStatus } from "../protocol/render.ts";
import { VERBS } from "../protocol/verbs.ts";
import type { Connection } from "./connection.ts";
import { readConversation } from "./conversation.ts";
import { readConversations } from "./conversation_list.ts";
import { cutText, MAX_TITLE_CHARS } from "./conversation_summary.ts";
import type { Session } from "./session.ts";

/** Rows of `history` and `sessions` where no limit is given. */
const DEFAULT_PAGE = 50;

export interface CommandDeps {
  clock: Clock;
  store: ConversationStore;
  eventLog: EventLog;
  /** Whether a session outlives its worker. */
  isDurable: boolean;
  /**
   * Takes the session out of the store; then calls `onDeleted`, and closes its connections. Rejects as the store does: nothing
   * has changed then.
   */
  deleteSession(session: Session, onDeleted: () => void): Promise<void>;
  /** The same for a session that need not be here. Rejects with `unknown_session` if `owner` has no such session. */
  deleteOther(sessionId: string, owner: SessionOwner, onDeleted: () => void): Promise<void>;
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
  const { sessionId, owner } = session.record;
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
      const page = await readConversation(sessionId, {
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
      const { limit = DEFAULT_PAGE, ...args } = frame.args;
      const page = await readConversations(session.record, deps.store, { ...args, limit });
      return answer("sessions", `${page.sessions.length} sessions`, page);
    }
    case "rename": {
      const { session_id: id = sessionId } = frame.args;
      const title = cutText(frame.args.title, MAX_TITLE_CHARS);
      await deps.store.rename(id, [owner], title);
      return answer("renamed", "Conversation renamed", { session_id: id, title });
    }
    case "archive": {
      const { session_id: id = sessionId, archived = true } = frame.args;
      await deps.store.setArchived(id, [owner], archived);
      const content = archived ? "Conversation archived" : "Conversation taken out of the archive";
      return answer("archived", content, { session_id: id, archived });
    }
    case "delete": {
      const { session_id: id = sessionId } = frame.args;
      const confirm = (): void => answer("deleted", "Session deleted", { session_id: id });
      if (id === sessionId) return await deps.deleteSession(session, confirm);
      return await deps.deleteOther(id, owner, confirm);
    }
  }
}

function helpText(): string {
  const lines = Object.entries(VERBS).map(([verb, summary]) => `${verb}: ${summary}`);
  return `Send {"type":"command","content":"<verb>","args":{…}}.\n${lines.join("\n")}`;
}

/** The command `sessions`: the conversations of the session's owner. */

import type { Conversation, ConversationStore } from "../ports/conversation_store.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { CommandArgs } from "../protocol/client_frames.ts";
import { stamp } from "../protocol/stamp.ts";

/** One conversation on the wire. */
export interface ConversationRow {
  session_id: string;
  chat_id?: string;
  /** Empty before the first question. */
  title: string;
  preview: string;
  created_at: string;
  /** When the newest question or answer was committed. */
  last_activity: string;
  state: "running" | "idle";
  archived: boolean;
  /** Whether it is the connection's own session. */
  current: boolean;
}

export interface ConversationRows extends Record<string, unknown> {
  /** Most recently active first. */
  sessions: ConversationRow[];
  /** Ask with this as `before` for the page after; left out where there is none. */
  before?: string;
}

/** The conversations of the user who owns `current`; of an anonymous owner that session alone. Rejects as the store does. */
export async function readConversations(
  current: SessionRecord,
  store: ConversationStore,
  { limit, before, search, archived = false }: CommandArgs<"sessions"> & { limit: number },
): Promise<ConversationRows> {
  const { sessionId, owner } = current;
  const whose = owner.kind === "user" ? { userId: owner.userId } : { sessionId };
  // One more than asked for: it tells whether there is another page.
  const found = await store.list(whose, {
    limit: limit + 1,
    isArchived: archived,
    ...(before !== undefined && { before }),
    ...(search !== undefined && { search }),
  });
  const sessions = found.slice(0, limit).map((conversation) => toRow(conversation, sessionId));
  const last = sessions.at(-1);
  return found.length > limit && last !== undefined ? { sessions, before: last.session_id } : { sessions };
}

function toRow(
  { record, title, preview, lastActivity, isArchived, isRunning }: Conversation,
  currentId: string,
): ConversationRow {
  const { sessionId, chatId, createdAt } = record;
  return {
    session_id: sessionId,
    ...(chatId !== undefined && { chat_id: chatId }),
    title,
    preview,
    created_at: stamp(createdAt),
    last_activity: stamp(lastActivity),
    state: isRunning ? "running" : "idle",
    archived: isArchived,
    current: sessionId === currentId,
  };
}

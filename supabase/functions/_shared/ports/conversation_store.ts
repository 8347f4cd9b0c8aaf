/** The list of a user's conversations: each is a session with a title, a preview and an archive. */

import type { SessionOwner, SessionRecord } from "./session_store.ts";

/** A session as a list shows it. */
export interface Conversation {
  record: SessionRecord;
  /** On one line, at most 200 characters: the first question's beginning until it is renamed; empty before the first question. */
  title: string;
  /** The beginning of the newest question or answer, on one line, at most 200 characters; empty before the first question. */
  preview: string;
  /** When the newest question or answer was committed, in milliseconds since the epoch; before the first, when it was last used. */
  lastActivity: number;
  isArchived: boolean;
  /** Whether a query has no answer yet. */
  isRunning: boolean;
}

/** A user's conversations, or one session alone: an anonymous owner is known for nothing else. */
export type ConversationsOf = { userId: string } | { sessionId: string };

/** Which page of which list. */
export interface ConversationRange {
  /** At most this many. */
  limit: number;
  /** Only conversations after this one in the order of the list: the session id of the last one of the page before. */
  before?: string;
  /** The archived ones, or the others. Default false. */
  isArchived?: boolean;
  /**
   * Only conversations with all of these words in their title and their questions (the first 8 KB of these); the last may be the
   * beginning of a word.
   */
  search?: string;
}

/** All methods reject with `store_unavailable` if the store cannot be reached. */
export interface ConversationStore {
  /** The most recently active conversations first. */
  list(whose: ConversationsOf, range: ConversationRange): Promise<readonly Conversation[]>;
  /** Sets the title, cut at 200 characters. Rejects with `unknown_session` if none of `claims` owns such a session. */
  rename(sessionId: string, claims: readonly SessionOwner[], title: string): Promise<void>;
  /** Sets the title unless it was set by `rename`. */
  suggestTitle(sessionId: string, title: string): Promise<void>;
  /** Rejects as `rename` does. A new query takes a conversation out of the archive. */
  setArchived(sessionId: string, claims: readonly SessionOwner[], isArchived: boolean): Promise<void>;
}

/** The sessions and their owners. */

import type { QueryOptions } from "../protocol/client_frames.ts";
import type { LogPage, OpenTurn } from "./event_log.ts";

/** The owner of a session: a signed-in user, or the holder of the resume token with this SHA-256. */
export type SessionOwner =
  | { kind: "user"; userId: string }
  | { kind: "anonymous"; tokenHash: string };

/** A session as the store knows it. */
export interface SessionRecord {
  sessionId: string;
  owner: SessionOwner;
  /** The app's own name for the conversation, unique for the owner. */
  chatId?: string;
  /** Which of the deployment's agents answers. Default: the default one. */
  agent?: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** A session's state when it is opened. */
export interface StoredSession {
  record: SessionRecord;
  /**
   * The end of its log: the newest events that are not superseded, as many as were asked for. There are gaps in `seq` where events
   * are superseded.
   */
  tail: LogPage;
  /** Accepted turns without a terminal event, oldest first. */
  openTurns: readonly OpenTurn[];
  /** The options set by `configure`. */
  defaults: QueryOptions;
  /** Comments of `modify` feedback that came after the newest query, oldest first. */
  notes: readonly string[];
}

/** The sessions and their owners. All methods reject with `store_unavailable` if the store cannot be reached. */
export interface SessionStore {
  /**
   * Atomic: if it rejects, there is no partly created session. Rejects with `chat_exists` if the owner has a session with this
   * `chatId`.
   */
  create(record: SessionRecord): Promise<void>;
  /**
   * The session with the newest `tail` events, if it exists and one of `claims` owns it. For an unknown session, an
   * expired one and another owner's the answer is the same `undefined`.
   */
  find(
    sessionId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined>;
  /** As `find`, by the app's own name: the session with this `chatId` of the first of `claims` that has one. */
  findByChat(
    chatId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined>;
  /** Deletes a session with its log. Deleting an unknown one does nothing. */
  remove(sessionId: string): Promise<void>;
}

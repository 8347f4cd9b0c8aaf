/** Notifications in the logs of sessions. */

import type { NotificationEvent } from "../protocol/log_event.ts";

/** A notification to store, and its recipient. */
export interface DeliveryRequest {
  /** Unique in the project for 24 hours. */
  id: string;
  /** Equal for equal content and target. Decides whether a repeated `id` is a repeat or a conflict. */
  fingerprint: string;
  /** The user who sends it, who may reach only their own sessions; undefined if the project itself sends it. */
  caller: string | undefined;
  /** `nobody`: a notification that is not stored, such as a broadcast. Only its `id` is. */
  target: { kind: "session"; sessionId: string } | { kind: "user"; userId: string } | { kind: "nobody" };
  /** What is appended to the log of each session; undefined for `nobody`. */
  notification: NotificationEvent | undefined;
}

/** Where a notification has been stored. */
export interface Delivered {
  /** Sorted by session id, each with the notification's `seq`. */
  sessions: readonly { sessionId: string; seq: number }[];
  /** Whether this is a repeat of an earlier request. If so, nothing was done, and the sessions are those of the first one. */
  repeated: boolean;
}

/** Appends notifications to the logs of sessions, whichever worker holds them. */
export interface NotificationStore {
  /**
   * Appends to the log of a session, or of the sessions of a user that have not expired (at most 100, the ones used last):
   * to all of them or to none. Rejects with `unknown_session` (also for another user's, if there is a caller), `forbidden`
   * (another user, or `nobody`, by a caller), `id_conflict` (other content within 24 hours); with `store_unavailable`, after
   * which the same request may be made again.
   */
  deliver(request: DeliveryRequest): Promise<Delivered>;
}

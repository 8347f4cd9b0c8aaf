/** An activity event that another function posts: `activity` of a `notify_websocket` body. */

import * as z from "zod";
import {
  type ActivityEvent,
  loadChangeData,
  memoryOperationData,
  reasoningUpdateData,
  sessionEventData,
  systemEventData,
} from "./activity_events.ts";
import { ANONYMOUS } from "./activity_types.ts";
import { stamp } from "./stamp.ts";

const common = {
  timestamp: z.iso.datetime({ error: "must be a date and time in ISO 8601, in UTC" }).optional(),
  user_id: z.string("must be a string").min(1, "must not be empty").max(
    128,
    "must have at most 128 characters",
  )
    .optional(),
};

/** All types except `heartbeat` and `connection_established`, which only the server sends. */
export const publishedActivity = z.discriminatedUnion("type", [
  z.object({ type: z.literal("memory_operation"), data: memoryOperationData, ...common }),
  z.object({ type: z.literal("reasoning_update"), data: reasoningUpdateData, ...common }),
  z.object({ type: z.literal("load_change"), data: loadChangeData, ...common }),
  z.object({ type: z.literal("session_event"), data: sessionEventData, ...common }),
  z.object({ type: z.literal("system_event"), data: systemEventData, ...common }),
], "must be memory_operation, reasoning_update, load_change, session_event or system_event");

/** An event with its owner. The owner is metadata, not part of the payload, and decides who sees the event. */
export interface OwnedActivity {
  event: ActivityEvent;
  /** Undefined for an event without an owner, which only watchers that see everything get. */
  userId: string | undefined;
}

/** The type of {@linkcode parsePublishedActivity}, for callers that load it on demand. */
export type ParseActivity = typeof parsePublishedActivity;

/**
 * Checks a posted event. `at`, in milliseconds since the epoch, is its time if it has none. Its owner is `user_id`, or else the
 * `userId` of its data. A problem names the field within `activity`.
 */
export function parsePublishedActivity(
  activity: unknown,
  at: number,
): OwnedActivity | { problem: { field: string; expected: string } } {
  const parsed = publishedActivity.safeParse(activity);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] ?? { path: [], message: "has the wrong shape" };
    return { problem: { field: ["activity", ...path].join("."), expected: message } };
  }
  const { user_id, timestamp = stamp(at), ...event } = parsed.data;
  const named = user_id ?? ("userId" in event.data ? event.data.userId : undefined);
  return { event: { ...event, timestamp }, userId: named === ANONYMOUS ? undefined : named };
}

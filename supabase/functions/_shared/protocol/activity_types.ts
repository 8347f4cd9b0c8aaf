/** Names of the live-activity stream, separate from its schemas so that they load without zod. */

/** Every type of event, in the order in which docs list them. */
export const ACTIVITY_EVENT_TYPES = [
  "memory_operation",
  "reasoning_update",
  "load_change",
  "session_event",
  "system_event",
  "heartbeat",
  "connection_established",
] as const;

export type ActivityEventType = (typeof ACTIVITY_EVENT_TYPES)[number];

/** Stands for the user's id in events of anonymous sessions. */
export const ANONYMOUS = "anonymous";

/** Whether a value is the name of an event type. */
export function isActivityEventType(value: unknown): value is ActivityEventType {
  return (ACTIVITY_EVENT_TYPES as readonly unknown[]).includes(value);
}

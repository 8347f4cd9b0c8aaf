/** The words of the live-activity stream that are known without its schemas. */

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

/** In place of a user's id where nobody is signed in. */
export const ANONYMOUS = "anonymous";

/** Whether anything at all is the name of a type. */
export function isActivityEventType(value: unknown): value is ActivityEventType {
  return (ACTIVITY_EVENT_TYPES as readonly unknown[]).includes(value);
}

/** What `notify_websocket` and the workers tell each other over the relay, and how it is checked on arrival. */

import * as z from "zod";
import type { NotifyTarget } from "../protocol/notify_request.ts";
import type { NotificationEvent } from "../protocol/log_event.ts";

/** A notification on its way to whichever workers hold its target. */
export interface RelayedNotification {
  target: NotifyTarget;
  notification: NotificationEvent;
}

const relayedNotification = z.object({
  target: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("session"), sessionId: z.string() }),
    z.object({ kind: z.literal("user"), userId: z.string() }),
    z.object({ kind: z.literal("broadcast") }),
  ]),
  notification: z.object({
    kind: z.literal("notification"),
    notificationId: z.string(),
    type: z.enum(["notification", "status"]),
    content: z.string(),
    code: z.string().optional(),
    data: z.record(z.string(), z.unknown()).optional(),
    source: z.string().optional(),
  }),
});

/** The notification in a relay's payload; undefined where it is none. Channels are private, but a check costs little. */
export function readRelayedNotification(payload: unknown): RelayedNotification | undefined {
  // What zod infers for an optional field allows undefined as a value, which JSON cannot hold.
  return relayedNotification.safeParse(payload).data as RelayedNotification | undefined;
}

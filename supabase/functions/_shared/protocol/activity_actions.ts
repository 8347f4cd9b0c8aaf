/** Actions that a watcher of the live-activity stream may send. Any other frame is ignored. */

import * as z from "zod";

// As in the original handler, a `types` that is not a list adds nothing, and the rest of the action is still valid.
const types = z.array(z.unknown()).exactOptional().catch([]);

/** Adds types. A watcher without any types gets all of them. */
export const subscribeAction = z.object({
  action: z.literal("subscribe"),
  types,
  batch_ms: z.number().min(0).optional().catch(undefined).describe(
    "Milliseconds for which events are gathered into one frame; 0 ends batching; without it nothing changes",
  ),
  ack: z.boolean().optional().catch(undefined).describe("Whether to answer with the subscription in force"),
});

/** Removes types. */
export const unsubscribeAction = z.object({ action: z.literal("unsubscribe"), types });

/** Answered with `heartbeat` `pong`. */
export const pingAction = z.object({ action: z.literal("ping") });

const action = z.discriminatedUnion("action", [subscribeAction, unsubscribeAction, pingAction]);

export type ActivityAction = z.infer<typeof action>;

/** The type of {@linkcode decodeAction}, for callers that load it on demand. */
export type DecodeAction = typeof decodeAction;

/** Decodes text, or bytes of text, into an action; undefined if it is not one. Never throws. The caller has checked the size. */
export function decodeAction(data: string | ArrayBuffer): ActivityAction | undefined {
  try {
    return action.safeParse(JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data)))
      .data;
  } catch {
    return undefined;
  }
}

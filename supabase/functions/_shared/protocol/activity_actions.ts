/** What a watcher of the live-activity stream may say. Whatever else it says is ignored. */

import * as z from "zod";

// As in the original a `types` that is no list adds nothing, and is no reason to refuse the rest.
const types = z.array(z.unknown()).exactOptional().catch([]);

/** Adds types; none subscribed to means all. */
export const subscribeAction = z.object({
  action: z.literal("subscribe"),
  types,
  batch_ms: z.number().min(0).optional().catch(undefined).describe(
    "Gather events for so long, and send them in one frame; 0 ends it; left out, it stays as it is",
  ),
  ack: z.boolean().optional().catch(undefined).describe("Answer with what is in force"),
});

/** Removes types. */
export const unsubscribeAction = z.object({ action: z.literal("unsubscribe"), types });

/** Answered by `heartbeat` `pong`. */
export const pingAction = z.object({ action: z.literal("ping") });

const action = z.discriminatedUnion("action", [subscribeAction, unsubscribeAction, pingAction]);

export type ActivityAction = z.infer<typeof action>;

/** What {@linkcode decodeAction} is, for those who load it on demand. */
export type DecodeAction = typeof decodeAction;

/** Text, or bytes of text, into an action; undefined where it is none. Never throws. The caller has checked the size. */
export function decodeAction(data: string | ArrayBuffer): ActivityAction | undefined {
  try {
    return action.safeParse(JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data)))
      .data;
  } catch {
    return undefined;
  }
}

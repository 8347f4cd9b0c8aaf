/**
 * Relay messages between the workers that have one session. A lost message costs only time: the log is the source of truth, and these
 * messages are doorbells.
 */

import * as z from "zod";

const sessionCall = z.object({
  /** The sender, a worker or a function. It also receives its own messages. */
  from: z.string(),
  sessionId: z.string(),
  call: z.discriminatedUnion("kind", [
    // The log has events up to this one.
    z.object({ kind: z.literal("appended"), seq: z.int() }),
    // The lease of this epoch was released, and there are open turns.
    z.object({ kind: z.literal("released"), epoch: z.int() }),
    // Turns are to be stopped. The store has the request too.
    z.object({
      kind: z.literal("stop"),
      queryIds: z.array(z.string()),
      reason: z.enum(["cancelled", "interrupted", "superseded"]),
    }),
    // A connection here wants deltas: send the running answer from `have` on, and then its new pieces.
    z.object({
      kind: z.literal("tail_wanted"),
      have: z.object({
        epoch: z.int(),
        restarts: z.int().optional(),
        turnId: z.string(),
        offset: z.int(),
      }).optional(),
    }),
    // A piece of the running answer. `offset` is the UTF-16 index at which it starts; `epoch` belongs to the writer's lease, and
    // `restarts` says how often the answer has begun again under it. Older workers leave that out.
    z.object({
      kind: z.literal("tail"),
      epoch: z.int(),
      restarts: z.int().optional(),
      turnId: z.string(),
      queryId: z.string(),
      offset: z.int(),
      content: z.string(),
    }),
    // The comment of `modify` feedback, for the next query at any worker.
    z.object({ kind: z.literal("noted"), comment: z.string() }),
    // The session was deleted.
    z.object({ kind: z.literal("deleted") }),
  ]),
});

export type SessionCall = z.output<typeof sessionCall>["call"];

/** Makes the next call when there is capacity to send one. Its functions must not throw. */
export interface CallSource {
  /** The call with everything new since the last one; undefined if there is nothing new. */
  make(): SessionCall | undefined;
  /** The last call was not sent. */
  onFailed(): void;
}

/** The call in a relay payload; undefined if the payload is not a call. */
export function readSessionCall(payload: unknown): z.output<typeof sessionCall> | undefined {
  return sessionCall.safeParse(payload).data;
}

/**
 * What the workers that hold one session tell each other over the relay. Nothing depends on a call's arrival but speed: the
 * log is the truth, and this is the doorbell.
 */

import * as z from "zod";

const sessionCall = z.object({
  /** The worker or function that calls: it hears itself too. */
  from: z.string(),
  sessionId: z.string(),
  call: z.discriminatedUnion("kind", [
    // There are events up to this one.
    z.object({ kind: z.literal("appended"), seq: z.int() }),
    // The lease of this epoch was given up, and there are turns to go on with.
    z.object({ kind: z.literal("released"), epoch: z.int() }),
    // Somebody wants turns stopped; the store knows it too.
    z.object({
      kind: z.literal("stop"),
      queryIds: z.array(z.string()),
      reason: z.enum(["cancelled", "interrupted", "superseded"]),
    }),
    // Somebody here is shown deltas: say what comes of the running answer, and what there is beyond what is known here.
    z.object({
      kind: z.literal("tail_wanted"),
      have: z.object({ epoch: z.int(), turnId: z.string(), offset: z.int() }).optional(),
    }),
    // A piece of the running answer. `offset` is the UTF-16 index at which it starts; `epoch` is the writer's lease's.
    z.object({
      kind: z.literal("tail"),
      epoch: z.int(),
      turnId: z.string(),
      queryId: z.string(),
      offset: z.int(),
      content: z.string(),
    }),
    // The comment of a `modify` waits for the next query, whichever worker takes it.
    z.object({ kind: z.literal("noted"), comment: z.string() }),
    // The session is no more.
    z.object({ kind: z.literal("deleted") }),
  ]),
});

export type SessionCall = z.output<typeof sessionCall>["call"];

/** Has a call whenever one can be sent; neither function may throw. */
export interface CallSource {
  /** What is new since the last one; undefined where nothing is. */
  make(): SessionCall | undefined;
  /** The last one was not taken. */
  onFailed(): void;
}

/** The call in a relay's payload; undefined where it is none. */
export function readSessionCall(payload: unknown): z.output<typeof sessionCall> | undefined {
  return sessionCall.safeParse(payload).data;
}

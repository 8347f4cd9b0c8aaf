/** How a client classifies durable frames: which one is next, and which it already has. */

import type { SeenEvent, Visit } from "./records.ts";

/**
 * `news`: the next event. `known`: not new, but correct: an acknowledgement, or a terminal frame that was asked for
 * again. `ahead`: events before it are missing. `behind`: it is repeated, or too late.
 */
export type Step = "news" | "known" | "ahead" | "behind";

/** Classifies one frame of a visit. `visit.events` are the frames before it; `cursor` is the newest known `seq`. */
export function step(event: SeenEvent, cursor: number, visit: Pick<Visit, "resent" | "events">): Step {
  const { seq, key, isAck, isReplay } = event;
  if (isReplay) return "known";
  const wasResent = visit.resent.has(key);
  if (isAck) {
    if (seq <= cursor) return "known";
    return seq === cursor + 1 ? "news" : "ahead";
  }
  if (seq === cursor + 1) return "news";
  if (seq > cursor + 1) return "ahead";
  // The sender sent the query again, and got the status before the replay reached the event.
  if (event.kind === "query" && wasResent && visit.events.some((one) => one.isAck && one.seq === seq)) {
    return "known";
  }
  return "behind";
}

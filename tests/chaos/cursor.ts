/** What a client makes of the durable frames that come: which one is next, and which it has learned of already. */

import type { SeenEvent, Visit } from "./records.ts";

/**
 * `news`: the next event. `known`: nothing new, and nothing wrong: an acknowledgement or a terminal frame that was asked
 * for again. `ahead`: something is missing before it. `behind`: it comes again, or too late.
 */
export type Step = "news" | "known" | "ahead" | "behind";

/** Judges one frame of a visit. `before` is what came on it before that; `cursor` the newest `seq` that is known. */
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
  // Its sender has asked where it stands, and was told before the replay came to it.
  if (event.kind === "query" && wasResent && visit.events.some((one) => one.isAck && one.seq === seq)) {
    return "known";
  }
  return "behind";
}

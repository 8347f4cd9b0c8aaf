/** How long an answer stands still when its worker is killed. */

import type { ModelStream } from "./model_report.ts";
import type { Span } from "./records.ts";

/** If the model loses a stream within this time after a kill, in milliseconds, the kill caused it. */
const LOST_WITHIN_MS = 250;

/**
 * For each kill: the time until the model sends the next character of an answer that the killed worker was writing, in
 * milliseconds. Left out if a `trouble` came in between (the database disturbed, a worker stopped, another kill), or if
 * the model failed. All times are in milliseconds since the epoch; `streams` are in the order in which they began.
 */
export function takeOverTimes(
  streams: readonly Omit<ModelStream, "after">[],
  killedAt: readonly number[],
  troubles: readonly Span[],
): number[] {
  return streams.flatMap(({ question, firstAt, lostAt }, index) => {
    const at = killedAt.find((at) => lostAt !== undefined && lostAt >= at && lostAt - at < LOST_WITHIN_MS);
    if (at === undefined || firstAt === undefined) return [];
    const next = streams.slice(index + 1).find((stream) => stream.question === question);
    if (next?.firstAt === undefined) return [];
    const to = next.firstAt;
    const isDisturbed = troubles.some((trouble) => trouble.from <= to && trouble.to >= at) ||
      killedAt.some((other) => other > at && other <= to);
    return isDisturbed ? [] : [to - at];
  });
}

/** How long an answer stands still when its worker is killed. */

import type { ModelStream } from "./model_report.ts";
import type { ConversationRecord, Span } from "./records.ts";

/** If the model loses a stream within this time after a kill, in milliseconds, the kill caused it. */
const LOST_WITHIN_MS = 250;

/** The lease of the run's workers, in milliseconds. */
export const LEASE_MS = 3000;

export interface TakeOverInput {
  /** In the order in which they began. */
  streams: readonly Omit<ModelStream, "after">[];
  killedAt: readonly number[];
  troubles: readonly Span[];
  /** When clients came to the session of a question. */
  cameAt(question: string): readonly number[];
}

export interface TakeOvers {
  times: number[];
  /** Answers whose clients were all away for longer than the lease: nobody could take them over. */
  waited: number;
}

/**
 * For each kill: the time until the model sends the next character of an answer that the killed worker was writing, in
 * milliseconds. Left out if a `trouble` came in between (the database disturbed, a worker stopped, another kill), or if
 * the model failed. All times are in milliseconds since the epoch.
 */
export function takeOvers({ streams, killedAt, troubles, cameAt }: TakeOverInput): TakeOvers {
  let waited = 0;
  const times = streams.flatMap(({ question, firstAt, lostAt }, index) => {
    const at = killedAt.find((at) => lostAt !== undefined && lostAt >= at && lostAt - at < LOST_WITHIN_MS);
    if (at === undefined || firstAt === undefined) return [];
    const next = streams.slice(index + 1).find((stream) => stream.question === question);
    if (next?.firstAt === undefined) return [];
    const to = next.firstAt;
    const isDisturbed = troubles.some((trouble) => trouble.from <= to && trouble.to >= at) ||
      killedAt.some((other) => other > at && other <= to);
    if (isDisturbed) return [];
    if (cameAt(question).some((came) => came >= at && came <= at + LEASE_MS)) return [to - at];
    waited++;
    return [];
  });
  return { times, waited };
}

/** When clients came to the session of each question, in milliseconds since the epoch. */
export function arrivals(
  conversations: readonly ConversationRecord[],
  epoch: number,
): TakeOverInput["cameAt"] {
  const byQuestion = new Map(
    conversations.flatMap(({ queries, tabs }) => {
      const times = tabs.flatMap(({ visits }) => visits.map(({ at }) => epoch + at));
      return queries.map(({ question }) => [question, times] as const);
    }),
  );
  return (question) => byQuestion.get(question) ?? [];
}

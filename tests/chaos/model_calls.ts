/** Calls of the model beyond one a turn. */

import type { RunRecord, Span } from "./records.ts";

/**
 * Two tabs that ask within so long, in milliseconds, ask at the same moment: each worker may call the model before it knows of the
 * other's question, and the one that does not get the session's lease gives its call up.
 */
const SAME_MOMENT_MS = 500;

/**
 * The queries for which the model was called more often than failures of the model and take-overs explain, and during which no
 * `trouble` came (a worker killed or stopped, or the database disturbed), nor was another one asked at the same moment. Each as a
 * line of text.
 */
export function unexplainedCalls(
  { conversations, model, logs }: Pick<RunRecord, "conversations" | "model" | "logs">,
  troubles: readonly Span[],
): string[] {
  return conversations.flatMap(({ sessionId, queries }) =>
    queries.flatMap(({ id, question, sentAt, endedAt = Infinity }) => {
      const calls = model.requests[question] ?? 0;
      const failures = model.faults[question]?.length ?? 0;
      const takeOvers = logs?.get(sessionId)?.takeOversOf?.get(id) ?? 0;
      if (calls <= 1 + failures + takeOvers) return [];
      if (troubles.some(({ from, to }) => from <= endedAt && to >= sentAt)) return [];
      if (queries.some((other) => other.id !== id && Math.abs(other.sentAt - sentAt) < SAME_MOMENT_MS)) {
        return [];
      }
      return [`${id} of ${sessionId}: ${calls} calls, ${failures} failures, ${takeOvers} take-overs`];
    })
  );
}

/** Finds model calls beyond one for each step of a turn. */

import type { RunRecord, Span } from "./records.ts";
import { stepsOf } from "./tool_script.ts";

/**
 * Questions of two tabs within this time, in milliseconds, count as simultaneous: each worker may call the
 * model before it knows about the other question. The worker that does not get the session's lease aborts its
 * call.
 */
const SAME_MOMENT_MS = 500;

/** Model calls of a take-over: the model may be asked in three ways to continue an answer. */
const WAYS = 3;

/**
 * The queries with more model calls than steps, model failures, take-overs and other prompts explain: a call that was begun early is
 * given up if it turns out to lack what comes before its question, and begun again with another prompt. Left out are queries during
 * which a `trouble` came (a worker killed or stopped, or the database disturbed), or with another query at
 * the same moment. Each as a line of text.
 */
export function unexplainedCalls(
  { conversations, model, logs }: Pick<RunRecord, "conversations" | "model" | "logs">,
  troubles: readonly Span[],
): string[] {
  const prompts = new Map<string, Set<string>>();
  for (const { question, after } of model.streams) {
    prompts.set(question, (prompts.get(question) ?? new Set()).add(after.join()));
  }
  return conversations.flatMap(({ sessionId, queries, tabs }) =>
    queries.flatMap(({ id, question, sentAt, endedAt = Infinity }) => {
      const calls = model.requests[question] ?? 0;
      const failures = model.faults[question]?.length ?? 0;
      const takeOvers = logs?.get(sessionId)?.takeOversOf?.get(id) ?? 0;
      const others = (prompts.get(question)?.size ?? 1) - 1;
      const wanted = 1 + stepsOf(question).length;
      if (calls <= wanted + failures + WAYS * takeOvers + others) return [];
      if (troubles.some(({ from, to }) => from <= endedAt && to >= sentAt)) return [];
      if (queries.some((other) => other.id !== id && Math.abs(other.sentAt - sentAt) < SAME_MOMENT_MS)) {
        return [];
      }
      const isResent = tabs.some(({ visits }) => visits.some(({ resent }) => resent.has(id)));
      const known = [`${calls} calls`, `${failures} failures`, `${takeOvers} take-overs`];
      return [`${id} of ${sessionId}: ${[...known, ...(isResent ? ["sent again"] : [])].join(", ")}`];
    })
  );
}

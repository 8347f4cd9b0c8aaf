/** Finds model calls beyond one for each step of a turn. */

import type { LoggedChange, LoggedSession, RunRecord, Span } from "./records.ts";
import { stepsOf } from "./tool_script.ts";

/**
 * Questions of two tabs within this time, in milliseconds, count as simultaneous: each worker may call the
 * model before it knows about the other question. The worker that does not get the session's lease aborts its
 * call.
 */
const SAME_MOMENT_MS = 500;

/** Model calls of a take-over: the model may be asked in three ways to continue an answer. */
const WAYS = 3;

/** How long before a query, in milliseconds, what has changed is shown with it. */
const SHOWN_MS = 2000;

/**
 * The queries with more model calls than steps, model failures and take-overs explain. Left out are queries during
 * which a `trouble` came (a worker killed or stopped, or the database disturbed), or with another query at
 * the same moment, or before which the conversation was changed when they were under way already: a call that was begun early is given up
 * then, and begun again. Each as a line of text.
 */
export function unexplainedCalls(
  { conversations, model, logs }: Pick<RunRecord, "conversations" | "model" | "logs">,
  troubles: readonly Span[],
): string[] {
  return conversations.flatMap(({ sessionId, queries, tabs }) =>
    queries.flatMap(({ id, question, sentAt, endedAt = Infinity }) => {
      const calls = model.requests[question] ?? 0;
      const failures = model.faults[question]?.length ?? 0;
      const takeOvers = logs?.get(sessionId)?.takeOversOf?.get(id) ?? 0;
      const wanted = 1 + stepsOf(question).length;
      if (calls <= wanted + failures + WAYS * takeOvers) return [];
      if (troubles.some(({ from, to }) => from <= endedAt && to >= sentAt)) return [];
      if (queries.some((other) => other.id !== id && Math.abs(other.sentAt - sentAt) < SAME_MOMENT_MS)) {
        return [];
      }
      const before = changesBefore(id, logs?.get(sessionId));
      if (before.some(({ at }) => at >= sentAt)) return [];
      const told = before.filter(({ at }) => at >= sentAt - SHOWN_MS)
        .map(({ kind, at }) => `${kind} ${Math.round(sentAt - at)} ms before`);
      if (tabs.some(({ visits }) => visits.some(({ resent }) => resent.has(id)))) told.push("sent again");
      const known = [`${calls} calls`, `${failures} failures`, `${takeOvers} take-overs`, ...told];
      return [`${id} of ${sessionId}: ${known.join(", ")}`];
    })
  );
}

function changesBefore(id: string, log: LoggedSession | undefined): LoggedChange[] {
  const asked = log?.events.find(({ kind, key }) => kind === "query" && key === id);
  return asked === undefined ? [] : log?.changes?.filter(({ seq }) => seq < asked.seq) ?? [];
}

/** The rows of the table about tool calls. None of them is a part of the verdict. */

import type { RunRecord } from "./records.ts";
import { count, type Counts, words } from "./tally.ts";

export function callRows({ logs, runs }: Pick<RunRecord, "logs" | "runs">): [string, string | number][] {
  if (logs === undefined || runs === undefined) return [];
  const calls: Counts = new Map();
  const approvals: Counts = new Map();
  const results: Counts = new Map();
  let again = 0;
  const runsOf = Map.groupBy(runs, ({ callId }) => callId);
  for (const { calls: logged } of logs.values()) {
    for (const call of logged) {
      const [result] = call.results;
      count(calls, call.name);
      if (call.needs === "approval") count(approvals, call.decisions[0]?.verdict ?? "none");
      if (result !== undefined) count(results, result.outcome);
      if ((runsOf.get(call.callId)?.length ?? 0) > 1) again++;
    }
  }
  return [
    ["tool calls", words(calls)],
    ["runs of tools / calls that ran again", `${runs.length} / ${again}`],
    ["results of calls", words(results)],
    ["approvals", words(approvals)],
  ];
}

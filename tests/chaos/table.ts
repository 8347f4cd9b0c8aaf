/** The result of a run as one table. */

import { callRows } from "./tool_table.ts";
import { unexplainedCalls } from "./model_calls.ts";
import { type Fault, FAULT_KINDS } from "./records.ts";
import type { ChaosResult } from "./run.ts";
import { longestStandstillMs } from "./standstill.ts";
import { arrivals, takeOvers as takenOver } from "./take_over.ts";
import { words } from "./tally.ts";

export function table({ record, tally, faults, seconds, isInterrupted }: ChaosResult): string {
  const logs = record.logs === undefined ? undefined : [...record.logs.values()];
  const takeOvers = logs?.reduce((sum, log) => sum + log.takeOvers, 0);
  const modelFaults = Object.values(record.model.faults).reduce((sum, { length }) => sum + length, 0);
  const events = logs?.reduce((sum, log) => sum + log.events.length, 0);
  const troubles = [...tally.outages, ...tally.stalls];
  const epoch = performance.timeOrigin;
  const stoodStill = takenOver({
    streams: record.model.streams,
    killedAt: tally.kills.map((at) => epoch + at),
    troubles: troubles.map(({ from, to }) => ({ from: epoch + from, to: epoch + to })),
    cameAt: arrivals(record.conversations, epoch),
  });
  const unexplained = unexplainedCalls(record, [
    ...troubles,
    ...tally.kills.map((at) => ({ from: at, to: at })),
  ]);
  const rows: [string, string | number][] = [
    ...(isInterrupted ? [["interrupted", "what was not over is not judged"] as [string, string]] : []),
    ["seconds", seconds],
    ["turns", tally.turns],
    ["sessions", record.conversations.length],
    ["durable events", events ?? "no database, or not read"],
    ["notifications", tally.notices],
    ["workers killed", tally.kills.length],
    ["workers stopped for a while", tally.stalls.length],
    ["goodbyes of workers", tally.rotations],
    ["idle sessions closed, and gone on with", tally.expiries],
    ["connections cut / frozen", `${tally.cuts} / ${tally.freezes}`],
    ["database disturbed", tally.outages.length],
    ["relay cut", tally.relayTroubles],
    ["model failures", modelFaults],
    ["asked to continue by prefill / by anchor", Object.values(record.model.continuations).join(" / ")],
    ["resumes", tally.resumes],
    ["take-overs", takeOvers ?? "no database, or not read"],
    ["attacks on sessions", record.attacks.length],
    ["reconnect to caught up, p50 / p99", milliseconds(tally.caughtUpMs)],
    ["loss to caught up, p50 / p99", milliseconds(tally.backMs)],
    [
      "longest time without an end, database well",
      `${Math.round(longestStandstillMs(record.conversations, tally.outages))} ms`,
    ],
    [`kill to next character, p50 / p99 of ${stoodStill.times.length}`, milliseconds(stoodStill.times)],
    ["  answers whose client was away for longer than the lease", stoodStill.waited],
    [
      "model calls that no kill, stop or failure explains",
      [unexplained.length, ...unexplained.slice(0, 3)].join("; "),
    ],
    ...callRows(record),
    ["ends", words(tally.ends)],
    ["closes", words(tally.closes)],
    ["refusals", words(tally.refusals)],
    ["answers with deltas left out", tally.shortTexts],
    ...FAULT_KINDS.map((
      kind,
    ): [string, number] => [kind.toUpperCase().replace("_", " "), countOf(faults, kind)]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

function countOf(faults: readonly Fault[], kind: Fault["kind"]): number {
  return faults.filter((fault) => fault.kind === kind).length;
}

/** The smallest value that at least `share` of the values do not exceed; undefined if there are no values. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function milliseconds(values: readonly number[]): string {
  if (values.length === 0) return "none";
  return [0.5, 0.99].map((share) => `${Math.round(percentile(values, share) ?? 0)} ms`).join(" / ");
}

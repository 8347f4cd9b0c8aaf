/** Stops turns on a client's wish, whichever worker runs them. */

import type { StopRequest } from "../ports.ts";
import type { CommandArgs } from "../protocol/client_frames.ts";
import type { Turns } from "./turns.ts";

const CANCELLED = { signal: "cancel", reason: "cancelled" } as const;

/**
 * Stops what the selector names, the running turn by default. Answers with the ids of the queries, and with none only where the log
 * knows of none. Rejects as the log does, where it had to be asked: then nothing was stopped.
 */
export async function cancelTurns(
  { id, all }: CommandArgs<"cancel">,
  turns: Turns,
): Promise<readonly string[]> {
  const { runner, feed } = turns;
  const which: StopRequest["which"] = all === true ? "all" : id === undefined ? "running" : { queryId: id };
  // What another worker has is stopped first: where the store cannot be told, all stays as it is.
  if (which !== "all" || turns.isHere) {
    const here = runner.stopAll(which, CANCELLED);
    if (here.length > 0 || turns.isHere) return here;
  }
  // Those that are asked meanwhile are not meant.
  const mine = which === "all" ? runner.all.map(({ query }) => query.queryId) : [];
  const { reached } = await feed.commit({ stop: { which, reason: "cancelled" } });
  const stopped = mine.filter((queryId) => runner.stop(queryId, CANCELLED));
  turns.passOn(reached, "cancelled");
  return [...new Set([...stopped, ...reached])];
}

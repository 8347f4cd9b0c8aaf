/** The stops that clients asked for. The store or a worker keeps a granted wish until its turn has ended. */

import type { SessionState } from "../../supabase/functions/_shared/session/core/state.ts";
import { check } from "./observer.ts";
import { openTurnOf, type Store } from "./store.ts";

/**
 * Stops that were confirmed to a client, by query, with the worker that keeps the wish; undefined if the store keeps
 * it.
 */
export type Granted = Map<string, string | undefined>;

interface Place {
  store: Store;
  workers: Map<string, { id: string; state: SessionState }>;
  granted: Granted;
}

/** Checks that no granted wish is forgotten. */
export function checkGranted({ store, workers, granted }: Place): void {
  for (const queryId of granted.keys()) {
    const open = openTurnOf(store, queryId);
    const keepers = [...workers.values()].filter(({ state }) => isKept(state, queryId, open !== undefined));
    // Another worker may have its own wish that is not confirmed yet. It counts once this worker has passed on its
    // wish.
    const keeper = (keepers.find(({ id }) => id === granted.get(queryId)) ?? keepers[0])?.id;
    if (open === undefined && keeper === undefined) granted.delete(queryId);
    else {
      check(open?.stopped !== undefined || keeper !== undefined, () => `the stop of ${queryId} is forgotten`);
      granted.set(queryId, open?.stopped === undefined ? keeper : undefined);
    }
  }
}

/** The wishes that only a killed worker has are lost with it. */
export function forgetKeeper(granted: Granted, workerId: string): void {
  for (const [queryId, keeper] of granted) if (keeper === workerId) granted.delete(queryId);
}

function isKept({ turns, intents, flight }: SessionState, queryId: string, isOpen: boolean): boolean {
  const turn = turns.get(queryId);
  // An end of another kind counts too: it came first.
  if (turn?.phase === "ending" || turn?.phase === "proposed" && turn.attempt.name === "done") return true;
  return [...intents, ...flight?.intents ?? []].some((intent) => {
    const which = intent.kind === "stop" ? intent.stop.which : undefined;
    return (which === "all" && isOpen) || typeof which === "object" && which.queryId === queryId;
  });
}

/** What clients asked to be stopped: a wish that was granted is kept by the store or a worker until its turn has ended. */

import type { SessionState } from "../../supabase/functions/_shared/session/core/state.ts";
import { check } from "./observer.ts";
import { openTurnOf, type Store } from "./store.ts";

/** Stops that a client was told of, by query, with the worker that keeps the wish; undefined where the store does. */
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
    // Another worker may have a wish of its own that nobody was told of yet: it counts once this one has passed its wish on.
    const keeper = (keepers.find(({ id }) => id === granted.get(queryId)) ?? keepers[0])?.id;
    if (open === undefined && keeper === undefined) granted.delete(queryId);
    else {
      check(open?.stopped !== undefined || keeper !== undefined, () => `the stop of ${queryId} is forgotten`);
      granted.set(queryId, open?.stopped === undefined ? keeper : undefined);
    }
  }
}

/** A worker that is killed takes the wishes with it that it alone has. */
export function forgetKeeper(granted: Granted, workerId: string): void {
  for (const [queryId, keeper] of granted) if (keeper === workerId) granted.delete(queryId);
}

function isKept({ turns, intents, flight }: SessionState, queryId: string, isOpen: boolean): boolean {
  const turn = turns.get(queryId);
  // An end of another kind is one too: it came first.
  if (turn?.phase === "ending" || turn?.phase === "proposed" && turn.attempt.name === "done") return true;
  return [...intents, ...flight?.intents ?? []].some((intent) => {
    const which = intent.kind === "stop" ? intent.stop.which : undefined;
    return (which === "all" && isOpen) || typeof which === "object" && which.queryId === queryId;
  });
}

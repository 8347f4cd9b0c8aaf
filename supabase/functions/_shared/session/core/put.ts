/** The turns of a session: added, replaced, forgotten. */

import { withEntry, withoutEntry } from "./lazy_map.ts";
import type { SessionState } from "./state.ts";
import type { Turn } from "./turn.ts";

export function put<T extends Turn>(state: SessionState, turn: T): T {
  state.turns = withEntry(state.turns, turn.query.queryId, turn);
  return turn;
}

/** Forgets the turn of a query. */
export function remove(state: SessionState, queryId: string): void {
  state.turns = withoutEntry(state.turns, queryId);
}

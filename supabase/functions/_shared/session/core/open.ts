/** Builds the state of a session that this worker did not hold before from what the store has of it. */

import type { StoredSession } from "../../ports/session_store.ts";
import { foldToolEvent } from "./act.ts";
import { foldEvents } from "./fold.ts";
import { addNote } from "./history.ts";
import { stepLease } from "./lease.ts";
import { type CoreSettings, newSession, type SessionState, type Step } from "./state.ts";

/** Folds what the store has. `now` is in milliseconds since the epoch. There are no connections yet, so there are no effects. */
export function openSession(stored: StoredSession, settings: CoreSettings, now: number): SessionState {
  const { tail, openTurns, defaults, notes } = stored;
  const state = newSession(settings);
  const at: Step = { state, now, effects: [] };
  const oldestSeq = tail.events[0]?.seq ?? tail.lastSeq + 1;
  const read = new Set(tail.events.map(({ seq }) => seq));
  // Questions without a terminal event are missing where they are older than the events that were read, or superseded.
  // A tail has no events of tool calls.
  const unread = openTurns.flatMap(({ query }) => read.has(query.seq) ? [] : [query]);
  for (const event of [...unread, ...tail.events]) {
    state.log.lastSeq = event.seq - 1;
    foldEvents(at, [event]);
  }
  const isCleared = tail.events.some(({ kind }) => kind === "cleared");
  for (const { tools } of openTurns) for (const event of tools) foldToolEvent(at, event);
  if (oldestSeq > tail.oldestSeq && !isCleared) state.history.hasEarlier = true;
  state.log.lastSeq = state.log.wantedSeq = tail.lastSeq;
  for (const { query, starts, startsWithoutText, partial, stopped } of openTurns) {
    const turn = state.turns.get(query.queryId);
    if (turn?.phase !== "remote" || turn.query.turnId !== query.turnId) continue;
    if (starts > 0) turn.begun = { starts, startsWithoutText, partial };
    turn.stopped ??= stopped;
  }
  // The store's defaults are a fold over the whole log. The events that were read are only the end of it.
  state.defaults = defaults;
  for (const note of notes) addNote(state.history, note);
  state.lease = stepLease(state.lease, { kind: "read", lease: tail.lease, now });
  return state;
}

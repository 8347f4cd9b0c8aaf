/** Turns that wait for somebody: for a person's approval, for a client's tool, or for the user. They need no worker. */

import { head, nextTurn } from "./queue.ts";
import { type SessionState, type Step, surroundingsOf } from "./state.ts";
import { isBlocked, nextExpiry } from "./thread.ts";
import type { ProposedTurn, QueuedTurn, Turn } from "./turn.ts";

/** The turn that starts next; undefined if none waits, or the one whose place it is waits for somebody: turns keep their order. */
export function nextStart<T extends ProposedTurn = never>(
  step: Step,
  brought: readonly T[] = [],
): QueuedTurn | T | undefined {
  const next = nextTurn(step.state, brought);
  return next !== undefined && isTurnBlocked(step, next) ? undefined : next;
}

/** Whether the holder of the lease would have something to do, beyond writing the ends of turns. */
export function hasWork(step: Step): boolean {
  const { state } = step;
  for (const turn of state.turns.values()) {
    if (turn.phase === "remote" && turn.stopped !== undefined) return true;
    if (turn.phase === "running" || turn.phase === "acting" || turn.phase === "proposed") return true;
  }
  const first = head(state);
  return first !== undefined && !isTurnBlocked(step, first);
}

/** When the first waiting call of an open turn expires, in milliseconds since the epoch. */
export function nextExpiryOf(state: SessionState, now: number): number | undefined {
  if (state.threads.size === 0) return undefined;
  const around = surroundingsOf({ state, now });
  let first: number | undefined;
  for (const turn of state.turns.values()) {
    const at = nextExpiry(state.threads.get(turn.query.turnId), around);
    if (at !== undefined && (first === undefined || at < first)) first = at;
  }
  return first;
}

function isTurnBlocked(step: Step, { query: { turnId } }: Turn): boolean {
  const thread = step.state.threads.get(turnId);
  return thread !== undefined && isBlocked(thread, surroundingsOf(step));
}

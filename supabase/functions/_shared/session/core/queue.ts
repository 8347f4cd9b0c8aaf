/**
 * Which turn goes next: a function of what the log says of the turns that wait, so that each worker gives the same answer.
 *
 * Begun turns go first, then those asked with `interrupt`, the newest first, then lanes by priority. Within a lane the log's
 * order counts. A lane that waits is passed over four times at most.
 */

import type { SessionState } from "./state.ts";
import type { QueuedTurn, RemoteTurn, Turn } from "./turn.ts";

const MAX_SKIPS = 4;

type Waiting = QueuedTurn | RemoteTurn;
type Skips = SessionState["skips"];

/** The queued turn that runs next; undefined where none waits. */
export function nextTurn(state: SessionState): QueuedTurn | undefined {
  const waiting: QueuedTurn[] = [];
  for (const turn of state.turns.values()) if (turn.phase === "queued") waiting.push(turn);
  return waiting.length < 2 ? waiting[0] : pick(waiting, state.skips);
}

/** Counts the turn as the one that went next. */
export function countSkips(state: SessionState, started: Turn): void {
  const lane = laneOf(started);
  state.skips[lane] = 0;
  if (isAhead(started)) return;
  for (const turn of state.turns.values()) {
    if (turn.phase !== "queued" || turn === started || isAhead(turn)) continue;
    const other = laneOf(turn);
    if (other > lane && !hasSkipped(state, turn)) state.skips[other]++;
  }
}

/** How many turns go before this one, plus one; 0 where it runs. */
export function position(state: SessionState, turn: Turn): number {
  switch (turn.phase) {
    case "running":
    case "ending":
      return 0;
    case "proposed":
      return turn.attempt.name === "none" ? state.turns.size : 0;
    case "queued":
      return inOrder(state, "queued").indexOf(turn) + 1;
    case "remote": {
      const order = inOrder(state, "remote");
      // The worker that holds the lease runs one of them: the one it was heard of, or else the first.
      const running = order.find(isBegunElsewhere) ?? (state.lease.name === "other" ? order[0] : undefined);
      return turn === running ? 0 : order.filter((other) => other !== running).indexOf(turn) + 1;
    }
  }
}

/** Whether this worker has heard that it was begun. */
function isBegunElsewhere(turn: Waiting): boolean {
  return turn.begun !== undefined || turn.phase === "remote" && turn.shown.epoch > 0;
}

function inOrder(state: SessionState, phase: Waiting["phase"]): Waiting[] {
  const waiting: Waiting[] = [];
  for (const turn of state.turns.values()) {
    if ((turn.phase === "queued" || turn.phase === "remote") && turn.phase === phase) waiting.push(turn);
  }
  const skips: Skips = [...state.skips];
  const ordered: Waiting[] = [];
  while (waiting.length > 0) {
    const next = pick(waiting, skips);
    if (next === undefined) break;
    waiting.splice(waiting.indexOf(next), 1);
    ordered.push(next);
    const lane = laneOf(next);
    skips[lane] = 0;
    if (isAhead(next)) continue;
    for (const other of [1, 2] as const) {
      if (other > lane && waiting.some((turn) => !isAhead(turn) && laneOf(turn) === other)) skips[other]++;
    }
  }
  return ordered;
}

function pick<T extends Waiting>(waiting: readonly T[], skips: Skips): T | undefined {
  const starving = ([0, 1, 2] as const).find((lane) =>
    skips[lane] >= MAX_SKIPS && waiting.some((turn) => !isAhead(turn) && laneOf(turn) === lane)
  );
  let best: T | undefined;
  for (const turn of waiting) if (best === undefined || goesBefore(turn, best, starving)) best = turn;
  return best;
}

function goesBefore(a: Waiting, b: Waiting, starving: number | undefined): boolean {
  if ((a.begun !== undefined) !== (b.begun !== undefined)) return a.begun !== undefined;
  if (a.query.first !== b.query.first) return a.query.first;
  if (a.query.first && b.query.first) return a.seq > b.seq;
  const laneA = laneOf(a) === starving ? -1 : laneOf(a);
  const laneB = laneOf(b) === starving ? -1 : laneOf(b);
  return laneA === laneB ? a.seq < b.seq : laneA < laneB;
}

/** Whether it goes before all lanes. */
function isAhead(turn: Turn): boolean {
  return turn.query.first || (turn.phase === "queued" && turn.begun !== undefined);
}

/** A lane is passed over once for each start, however many wait in it. */
function hasSkipped({ turns }: SessionState, turn: QueuedTurn): boolean {
  for (const other of turns.values()) {
    if (other === turn) return false;
    if (other.phase === "queued" && !isAhead(other) && laneOf(other) === laneOf(turn)) return true;
  }
  return false;
}

function laneOf({ query: { priority } }: Turn): 0 | 1 | 2 {
  return priority === "high" ? 0 : priority === "normal" ? 1 : 2;
}

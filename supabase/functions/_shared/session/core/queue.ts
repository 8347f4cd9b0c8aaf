/**
 * Chooses the turn that runs next, from the log alone, so that every worker chooses the same.
 *
 * Order: turns that had begun; turns with policy `interrupt`, the newest first; then lanes by priority. Within a lane turns run
 * in the order of the log. A waiting lane is skipped at most four times.
 */

import type { SessionState } from "./state.ts";
import type { Begun, ProposedTurn, QueuedTurn, RemoteTurn, Turn } from "./turn.ts";

const MAX_SKIPS = 4;
/** The `seq` of a turn that is not in the log yet: after all that are. */
const UNLOGGED_SEQ = Number.MAX_SAFE_INTEGER / 2;

/** A waiting turn: the fields that decide the order. */
interface Waiting<T extends Turn = Turn> {
  turn: T;
  seq: number;
  begun: Begun | undefined;
}
type Skips = SessionState["skips"];

/** The turn that runs next; undefined if none waits. `brought`: turns whose questions are part of the same write. */
export function nextTurn<T extends ProposedTurn = never>(
  state: SessionState,
  brought: readonly T[] = [],
): QueuedTurn | T | undefined {
  const waiting: Waiting<QueuedTurn | T>[] = [];
  for (const turn of state.turns.values()) {
    if (turn.phase === "queued") waiting.push({ turn, seq: turn.seq, begun: turn.begun });
  }
  brought.forEach((turn, index) => waiting.push({ turn, seq: UNLOGGED_SEQ + index, begun: undefined }));
  return waiting.length < 2 ? waiting[0]?.turn : pick(waiting, state.skips)?.turn;
}

/** The turn whose place it is to run, whichever worker runs it; undefined if none waits. */
export function head(state: SessionState): QueuedTurn | RemoteTurn | undefined {
  const waiting: Waiting<QueuedTurn | RemoteTurn>[] = [];
  for (const turn of state.turns.values()) {
    if (turn.phase !== "queued" && turn.phase !== "remote") continue;
    waiting.push({ turn, seq: turn.seq, begun: turn.begun ?? stepsOf(state, turn) });
  }
  return waiting.length < 2 ? waiting[0]?.turn : pick(waiting, state.skips)?.turn;
}

/** A turn with steps has begun, also where nothing else says so. */
function stepsOf({ threads }: SessionState, { query: { turnId } }: Turn): Begun | undefined {
  return threads.has(turnId) ? { starts: 1, startsWithoutText: 0, partial: "" } : undefined;
}

/** Counts the lanes that this turn's start has skipped. */
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

/** The turn's position: 0 if it runs, else one more than the number of turns before it. */
export function position(state: SessionState, turn: Turn): number {
  if (turn.phase === "running" || turn.phase === "acting" || turn.phase === "ending") return 0;
  if (turn.phase === "proposed" && turn.attempt.name !== "none") return 0;
  const order = inOrder(state);
  // The holder of the lease runs one of these turns: the one it has announced, or else the first.
  const running = order.find(isBegunElsewhere) ??
    (state.lease.name === "other" ? order.find(({ phase }) => phase === "remote") : undefined);
  return turn === running ? 0 : order.filter((other) => other !== running).indexOf(turn) + 1;
}

/** Whether this worker knows that another worker has begun the turn. */
function isBegunElsewhere(turn: Turn): boolean {
  return turn.phase === "remote" && (turn.begun !== undefined || turn.shown.epoch > 0);
}

/** All waiting turns of all workers, in the order in which they would run if no other query came. */
function inOrder(state: SessionState): Turn[] {
  const waiting: Waiting[] = [];
  let index = 0;
  for (const turn of state.turns.values()) {
    if (turn.phase === "queued" || turn.phase === "remote") {
      waiting.push({ turn, seq: turn.seq, begun: turn.begun });
    } else if (turn.phase === "proposed" && turn.attempt.name === "none") {
      waiting.push({ turn, seq: turn.seq ?? UNLOGGED_SEQ + index++, begun: undefined });
    }
  }
  const skips: Skips = [...state.skips];
  const ordered: Turn[] = [];
  while (waiting.length > 0) {
    const next = pick(waiting, skips);
    if (next === undefined) break;
    waiting.splice(waiting.indexOf(next), 1);
    ordered.push(next.turn);
    const lane = laneOf(next.turn);
    skips[lane] = 0;
    if (isAhead(next.turn)) continue;
    for (const other of [1, 2] as const) {
      const isPassed = other > lane && waiting.some(({ turn }) => !isAhead(turn) && laneOf(turn) === other);
      if (isPassed) skips[other]++;
    }
  }
  return ordered;
}

function pick<T extends Waiting>(waiting: readonly T[], skips: Skips): T | undefined {
  const starving = ([0, 1, 2] as const).find((lane) =>
    skips[lane] >= MAX_SKIPS && waiting.some(({ turn }) => !isAhead(turn) && laneOf(turn) === lane)
  );
  let best: T | undefined;
  for (const each of waiting) if (best === undefined || goesBefore(each, best, starving)) best = each;
  return best;
}

function goesBefore(a: Waiting, b: Waiting, starving: number | undefined): boolean {
  if ((a.begun !== undefined) !== (b.begun !== undefined)) return a.begun !== undefined;
  const isFirst = a.turn.query.first;
  if (isFirst !== b.turn.query.first) return isFirst;
  if (isFirst) return a.seq > b.seq;
  const laneA = laneOf(a.turn) === starving ? -1 : laneOf(a.turn);
  const laneB = laneOf(b.turn) === starving ? -1 : laneOf(b.turn);
  return laneA === laneB ? a.seq < b.seq : laneA < laneB;
}

/** Whether the turn runs before those of all lanes. */
function isAhead(turn: Turn): boolean {
  return turn.query.first || (turn.phase === "queued" && turn.begun !== undefined);
}

/** A start counts as one skip for each waiting lane, however many turns wait in it. */
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

/** Visits every state that a small world can reach. */

import { fingerprint } from "./fingerprint.ts";
import { checkEnd, copyOf, type Move, movesOf, type SmallWorld } from "./small_world.ts";

export interface Exploration {
  states: number;
  /** States in which nothing more can happen except faults. */
  ends: number;
  /** Whether all states were visited: false if `limit` was reached. */
  isComplete: boolean;
  /** The path from the start to the state in which an invariant was broken. */
  violation: { message: string; path: string[] } | undefined;
}

export interface ExploreOptions {
  /** The maximum number of states to visit. */
  limit?: number;
  /** Called after each million of states. */
  onProgress?(states: number): void;
}

/** Visits all states, depth first. */
export function explore(
  start: SmallWorld,
  { limit = Infinity, onProgress = () => {} }: ExploreOptions = {},
): Exploration {
  const visited = new Visited();
  visited.add(fingerprint(start));
  const stack: Visit[] = [{ small: start, moves: movesOf(start), path: undefined }];
  let ends = 0;
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { small, moves } = top;
    if (!moves.some(({ isFault }) => !isFault)) ends++;
    for (const move of moves) {
      const next = copyOf(small, move.at);
      const path: Path = { move, before: top.path };
      let after: Move[];
      try {
        move.make(next);
        after = movesOf(next);
        if (!after.some(({ isFault }) => !isFault)) checkEnd(next);
      } catch (thrown) {
        const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
        const violation = { message, path: namesOf(path) };
        return { states: visited.size, ends, isComplete: false, violation };
      }
      const key = fingerprint(next);
      if (visited.has(key)) continue;
      if (visited.size >= limit) {
        return { states: visited.size, ends, isComplete: false, violation: undefined };
      }
      visited.add(key);
      if (visited.size % 1_000_000 === 0) onProgress(visited.size);
      stack.push({ small: next, moves: after, path });
    }
  }
  return { states: visited.size, ends, isComplete: true, violation: undefined };
}

interface Visit {
  small: SmallWorld;
  moves: Move[];
  path: Path | undefined;
}

interface Path {
  move: Move;
  before: Path | undefined;
}

function namesOf(path: Path | undefined): string[] {
  const names: string[] = [];
  for (let at = path; at !== undefined; at = at.before) names.unshift(at.move.name());
  return names;
}

/** A set of numbers of any size: a single V8 set holds only 16 million. */
class Visited {
  readonly #sets = Array.from({ length: 256 }, () => new Set<number>());
  size = 0;

  add(key: number): void {
    this.#setOf(key).add(key);
    this.size++;
  }

  has(key: number): boolean {
    return this.#setOf(key).has(key);
  }

  #setOf(key: number): Set<number> {
    return this.#sets[key % 256] as Set<number>;
  }
}

/** The turns that wait: three lanes by priority, first in first out within a lane, and no lane starves. */

import { PRIORITIES } from "../protocol/queueing.ts";
import type { Turn } from "./turn.ts";

/** So many turns from higher lanes may go first; then a lower lane that waits gets one. */
const PATIENCE = 4;

interface Lane {
  turns: Turn[];
  /** Turns from higher lanes that went first while this lane waited. */
  passedOver: number;
}

export class TurnQueue {
  /** From high to low. */
  readonly #lanes: readonly Lane[] = PRIORITIES.map(() => ({ turns: [], passedOver: 0 }));

  get size(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.turns.length, 0);
  }

  /** Puts a turn at the end of its lane, or, where its query says so, before all that wait. */
  push(turn: Turn): void {
    if (turn.query.first) this.pushFirst(turn);
    else this.#laneOf(turn).turns.push(turn);
  }

  /** Puts a turn before all that wait, whatever their lanes. */
  pushFirst(turn: Turn): void {
    this.#lanes[0]?.turns.unshift(turn);
  }

  /** Puts a turn that was accepted before all that wait here where it would be then: at the beginning of its lane. */
  pushBack(turn: Turn): void {
    this.#laneOf(turn).turns.unshift(turn);
  }

  /** Takes the turn whose turn it is; undefined where none waits. */
  next(): Turn | undefined {
    return takeNext(this.#lanes);
  }

  /** All that wait, in the order in which they would run if nothing more came. */
  inOrder(): Turn[] {
    const lanes = this.#lanes.map((lane) => ({ ...lane, turns: [...lane.turns] }));
    const ordered: Turn[] = [];
    for (let turn = takeNext(lanes); turn !== undefined; turn = takeNext(lanes)) ordered.push(turn);
    return ordered;
  }

  /** How many would run before it, plus one; 0 where it does not wait. */
  position(turn: Turn): number {
    return this.inOrder().indexOf(turn) + 1;
  }

  /** Takes out one turn, by the id of its query. */
  remove(queryId: string): Turn | undefined {
    for (const { turns } of this.#lanes) {
      const index = turns.findIndex((turn) => turn.query.queryId === queryId);
      if (index >= 0) return turns.splice(index, 1)[0];
    }
    return undefined;
  }

  /** Takes out this very turn, if it waits: not another one of the same query. */
  delete(turn: Turn): void {
    for (const lane of this.#lanes) lane.turns = lane.turns.filter((waiting) => waiting !== turn);
  }

  /** Takes out all that wait, in order. */
  removeAll(): Turn[] {
    const turns = this.inOrder();
    for (const lane of this.#lanes) lane.turns = [];
    return turns;
  }

  #laneOf(turn: Turn): Lane {
    const lane = this.#lanes[PRIORITIES.indexOf(turn.query.priority)];
    if (lane === undefined) {
      throw new TypeError(`Cannot queue turn: no lane for priority ${turn.query.priority}`);
    }
    return lane;
  }
}

function takeNext(lanes: readonly Lane[]): Turn | undefined {
  const waiting = lanes.filter((lane) => lane.turns.length > 0);
  const chosen = waiting.find((lane) => lane.passedOver >= PATIENCE) ?? waiting[0];
  if (chosen === undefined) return undefined;
  for (const lane of waiting.slice(waiting.indexOf(chosen) + 1)) lane.passedOver++;
  chosen.passedOver = 0;
  return chosen.turns.shift();
}

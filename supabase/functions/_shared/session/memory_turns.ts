/** The open turns of one session of the memory store. */

import type { Checkpoint, CommittedByHolder, OpenTurn, StopRequest } from "../ports/event_log.ts";
import type { Logged, QueryEvent } from "../protocol/log_event.ts";

export class MemoryTurns {
  readonly #open = new Map<string, OpenTurn>();
  /** Checkpoints of the current run, by turn id. */
  readonly #pieces = new Map<string, number>();
  /** The epoch of the last start of each turn. */
  readonly #startedIn = new Map<string, number>();

  get size(): number {
    return this.#open.size;
  }

  /** Oldest first. */
  get open(): readonly OpenTurn[] {
    return [...this.#open.values()];
  }

  add(query: QueryEvent & Logged): void {
    this.#open.set(query.turnId, {
      query,
      starts: 0,
      startsWithoutText: 0,
      partial: "",
      stopped: undefined,
    });
  }

  end(turnId: string): void {
    this.#open.delete(turnId);
    this.#pieces.delete(turnId);
    this.#startedIn.delete(turnId);
  }

  start(turnId: string, epoch: number): void {
    // A worker that does not know whether its start was written writes it again, under the same epoch.
    const isAgain = this.#startedIn.get(turnId) === epoch;
    this.#startedIn.set(turnId, epoch);
    this.#change(turnId, ({ starts, startsWithoutText }) => ({
      starts: starts + 1,
      startsWithoutText: startsWithoutText + (isAgain ? 0 : 1),
    }));
    this.#pieces.delete(turnId);
  }

  /** One that is there already, or that comes before the one it follows, changes nothing. */
  keep({ turnId, number, text }: Checkpoint): void {
    if (!this.#open.has(turnId) || number !== (this.#pieces.get(turnId) ?? 0) + 1) return;
    this.#pieces.set(turnId, number);
    this.#change(turnId, ({ partial }) => ({
      partial: number === 1 ? text : partial + text,
      startsWithoutText: 0,
    }));
  }

  stop({ which, reason }: StopRequest): readonly string[] {
    const matched: string[] = [];
    for (const [turnId, { query, starts }] of this.#open) {
      const isMeant = typeof which === "object"
        ? which.queryId === query.queryId
        : which === "all" || (which === "running") === (starts > 0);
      if (!isMeant) continue;
      this.#change(turnId, ({ stopped }) => ({ stopped: stopped ?? reason }));
      matched.push(query.queryId);
    }
    return matched;
  }

  /** Those with a stop request. */
  get stopped(): CommittedByHolder["stopped"] {
    return Array.from(this.#open.values()).flatMap(({ query: { queryId }, stopped }) =>
      stopped === undefined ? [] : [{ queryId, reason: stopped }]
    );
  }

  #change(turnId: string, changed: (turn: OpenTurn) => Partial<OpenTurn>): void {
    const turn = this.#open.get(turnId);
    if (turn !== undefined) this.#open.set(turnId, { ...turn, ...changed(turn) });
  }
}

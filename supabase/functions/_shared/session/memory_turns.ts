/** The open turns of one session of the memory store. */

import type { Checkpoint, CommittedByHolder, OpenTurn, StopRequest } from "../ports/event_log.ts";
import type { Logged, QueryEvent } from "../protocol/log_event.ts";
import type { ToolEvent } from "../protocol/tool_events.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";

interface KeptTurn extends OpenTurn {
  /** Checkpoints of the current run. */
  pieces: number;
  /** The epoch of the last start. */
  startedIn: number | undefined;
}

export class MemoryTurns {
  /** By turn id, oldest first. */
  #open: LazyMap<string, KeptTurn> = emptyMap();

  get size(): number {
    return this.#open.size;
  }

  /** Oldest first. */
  get open(): readonly OpenTurn[] {
    return Array.from(this.#open.values(), ({ pieces: _pieces, startedIn: _startedIn, ...turn }) => turn);
  }

  add(query: QueryEvent & Logged): void {
    this.#open = withEntry(this.#open, query.turnId, {
      query,
      starts: 0,
      startsWithoutText: 0,
      partial: "",
      stopped: undefined,
      tools: [],
      pieces: 0,
      startedIn: undefined,
    });
  }

  end(turnId: string): void {
    this.#open = withoutEntry(this.#open, turnId);
  }

  /** A tool call has come further: the turn is not one that kills its workers. */
  act(event: ToolEvent & Logged): void {
    this.#change(event.turnId, ({ starts, tools }) => ({
      starts: Math.min(starts, 1),
      startsWithoutText: 0,
      tools: [...tools, event],
    }));
  }

  start(turnId: string, epoch: number): void {
    this.#change(turnId, ({ starts, startsWithoutText, startedIn }) => ({
      starts: starts + 1,
      // A worker that does not know whether its start was written writes it again, under the same epoch.
      startsWithoutText: startsWithoutText + (startedIn === epoch ? 0 : 1),
      startedIn: epoch,
      pieces: 0,
    }));
  }

  /** One that is there already, or that comes before the one it follows, changes nothing. */
  keep({ turnId, number, text }: Checkpoint): void {
    this.#change(
      turnId,
      ({ partial, pieces }) =>
        number !== pieces + 1
          ? {}
          : { pieces: number, partial: number === 1 ? text : partial + text, startsWithoutText: 0 },
    );
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

  #change(turnId: string, changed: (turn: KeptTurn) => Partial<KeptTurn>): void {
    const turn = this.#open.get(turnId);
    if (turn !== undefined) this.#open = withEntry(this.#open, turnId, { ...turn, ...changed(turn) });
  }
}

/** Which queries a session has seen, by id: what makes sending one twice harmless. A fold over the log. */

import { isTerminal, type LogEvent } from "../protocol/log_event.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";
import type { Turn } from "../agent/turn.ts";
import { MemoryBudget, SessionMemory } from "../guard/memory_budget.ts";

export interface KnownQuery {
  queryId: string;
  turnId: string;
  content: string;
  options: QueryOptions;
  /** The turn while it waits or runs on this worker. */
  turn: Turn | undefined;
  /** Of the query's own event; undefined until it is committed. */
  seq: number | undefined;
  /** Of the terminal event; undefined until there is one. */
  terminalSeq: number | undefined;
}

/** UTF-16 units of questions that are kept to tell a repeat from a conflict; the oldest go past it. */
const MAX_KNOWN_CHARS = 4_000_000;

export class QueryIndex {
  readonly #byId = new Map<string, KnownQuery>();
  /** Without a terminal event. */
  readonly #open = new Set<KnownQuery>();
  /** Of all questions that are kept. */
  #chars = 0;
  #lastTurnId: string | undefined;
  readonly #memory: SessionMemory;

  /** `memory` counts what is kept. */
  constructor(memory = new SessionMemory(new MemoryBudget(0), { isLogHere: true })) {
    this.#memory = memory;
  }

  /** The turn that ended or started last; undefined before the first. */
  get lastTurnId(): string | undefined {
    return this.#lastTurnId;
  }

  get(queryId: string): KnownQuery | undefined {
    return this.#byId.get(queryId);
  }

  /** Those without a terminal event that no turn of this worker answers, oldest first. */
  get elsewhere(): readonly KnownQuery[] {
    return this.#open.size === 0 ? [] : [...this.#open].filter((known) => known.turn === undefined);
  }

  /** A query that was accepted: before its event is committed, unless that has its `seq` already. */
  accept(turn: Turn, seq?: number): void {
    const { queryId, turnId, content, options } = turn.query;
    this.#add({ queryId, turnId, content, options, turn, seq, terminalSeq: undefined });
    this.#lastTurnId = turnId;
  }

  /** This worker answers it now. Its event may have fallen out of the log before it was read. */
  attach(turn: Turn, seq: number): void {
    const known = this.#byId.get(turn.query.queryId);
    if (known === undefined) this.accept(turn, seq);
    else if (known.terminalSeq === undefined) known.turn = turn;
  }

  /** Others answer what this worker has not. */
  detachAll(): void {
    for (const known of this.#open) known.turn = undefined;
  }

  /** Takes back what was accepted. If its event has been read in the log meanwhile, somebody is still to answer it. */
  takeBack(turn: Turn): void {
    const { queryId } = turn.query;
    const known = this.#byId.get(queryId);
    if (known?.turn !== turn) return;
    if (known.seq === undefined) this.#delete(queryId);
    else known.turn = undefined;
  }

  /** The log no longer knows it. */
  forget(queryId: string): void {
    this.#delete(queryId);
  }

  /** Takes an event of the log in, and forgets the queries whose events are no longer kept. */
  apply(event: LogEvent, oldestSeq: number): void {
    if (event.kind === "query") {
      const { queryId, turnId, content, options, seq } = event;
      const known = this.#byId.get(queryId);
      // Ours came second, if it is another turn: the log has its answer on the way.
      if (known !== undefined && known.turnId !== turnId) this.#delete(queryId);
      if (known?.turnId === turnId) known.seq = seq;
      else this.#add({ queryId, turnId, content, options, turn: undefined, seq, terminalSeq: undefined });
    } else if (isTerminal(event)) {
      const known = this.#byId.get(event.queryId);
      // The end may be that of an older turn, whose question the log has forgotten.
      if (known?.turnId === event.turnId) {
        known.terminalSeq = event.seq;
        known.turn = undefined;
        this.#open.delete(known);
        this.#lastTurnId = event.turnId;
      }
    }
    for (const [queryId, known] of this.#byId) {
      if (known.terminalSeq === undefined) break;
      if (known.terminalSeq >= oldestSeq && this.#chars <= MAX_KNOWN_CHARS) break;
      this.#delete(queryId);
    }
  }

  #add(known: KnownQuery): void {
    // One that is replaced is not counted twice.
    this.#delete(known.queryId);
    this.#chars += known.content.length;
    this.#memory.queries.add(known.content.length);
    this.#byId.set(known.queryId, known);
    this.#open.add(known);
  }

  #delete(queryId: string): void {
    const known = this.#byId.get(queryId);
    if (known === undefined) return;
    this.#chars -= known.content.length;
    this.#memory.queries.drop(known.content.length);
    this.#byId.delete(queryId);
    this.#open.delete(known);
  }
}

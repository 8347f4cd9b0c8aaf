/** One session of the {@linkcode MemoryStore}: its log, its open turns and its lease. */

import { AgentError } from "../errors.ts";
import {
  KeptEntries,
  type MemoryAccount,
  type MemoryBudget,
  OVERHEAD_BYTES,
  textBytes,
} from "../guard/memory_budget.ts";
import type {
  Committed,
  Feedback,
  Lease,
  LogPage,
  LogRange,
  LogWrite,
  VisiblePage,
  VisibleRange,
} from "../ports/event_log.ts";
import type { Conversation } from "../ports/conversation_store.ts";
import type { Clock } from "../ports/runtime.ts";
import type { SessionRecord, StoredSession } from "../ports/session_store.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";
import {
  isOfTurn,
  isTerminal,
  keyOf,
  type LogEvent,
  type NewLogEvent,
  type QueryEvent,
  type RewoundEvent,
} from "../protocol/log_event.ts";
import { isToolEvent } from "../protocol/tool_events.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import { ConversationSummary } from "./conversation_summary.ts";
import { charsOf } from "../protocol/event_chars.ts";
import { MemoryTurns } from "./memory_turns.ts";

/** Comments of `modify` feedback that are kept for the next query; the oldest go past it. */
const MAX_NOTES = 50;

export interface MemorySessionOptions {
  clock: Clock;
  maxEvents: number;
  maxChars: number;
  leaseMs: number;
  memory: MemoryBudget;
}

export class MemorySession {
  readonly record: SessionRecord;
  readonly #options: MemorySessionOptions;
  readonly #memory: MemoryAccount;
  readonly #kept: KeptEntries;
  /** Of comments and ids of feedback; made with the first one. */
  #keptNotes: MemoryAccount | undefined;
  /** Made with the first write. */
  #summary: ConversationSummary | undefined;
  #keptSummary: MemoryAccount | undefined;
  readonly #events: LogEvent[] = [];
  /** By what makes an event the same as another. */
  #byKey: LazyMap<string, LogEvent> = emptyMap();
  readonly #turns = new MemoryTurns();
  /** Text held by the events. */
  #chars = 0;
  #lastSeq = 0;
  #epoch = 0;
  #runner: string | undefined;
  #leaseUntil = 0;
  #defaults: QueryOptions = {};
  #notes: string[] = [];
  /** Ids of feedback, oldest first; made with the first one. */
  #feedback: Set<string> | undefined;

  constructor(record: SessionRecord, options: MemorySessionOptions) {
    this.record = record;
    this.#options = options;
    this.#memory = options.memory.account(0);
    this.#kept = new KeptEntries(this.#memory, OVERHEAD_BYTES.event);
  }

  /** It is no more: gives back what it kept. */
  forget(): void {
    this.#memory.close();
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get conversation(): Conversation {
    const summary = this.#summary ?? new ConversationSummary(this.record.createdAt);
    const { title, isTitled, preview, lastActivity, isArchived } = summary;
    const isRunning = this.#turns.size > 0;
    return { record: this.record, title, isTitled, preview, lastActivity, isArchived, isRunning };
  }

  matches(search: string): boolean {
    return this.#summary?.matches(search) ?? false;
  }

  setTitle(title: string, by: "model" | "user"): void {
    this.#describe((summary) => summary.setTitle(title, by));
  }

  setArchived(isArchived: boolean): void {
    this.#describe((summary) => summary.isArchived = isArchived);
  }

  /** Changes what lists show of it. */
  #describe(change: (summary: ConversationSummary) => void): void {
    const summary = this.#summary ??= new ConversationSummary(this.record.createdAt);
    change(summary);
    this.#keptSummary ??= this.#memory.part();
    this.#keptSummary.set(textBytes(summary.chars));
  }

  describe(tail: number, workerId: string): StoredSession {
    return {
      record: this.record,
      tail: {
        events: this.readVisible({ beforeSeq: this.#lastSeq + 1, limit: tail }).events,
        oldestSeq: this.#oldestSeq,
        lastSeq: this.#lastSeq,
        lease: this.#leaseAs(workerId),
      },
      openTurns: this.#turns.open,
      defaults: this.#defaults,
      notes: [...this.#notes],
    };
  }

  read({ afterSeq, limit }: LogRange, workerId: string): LogPage {
    const oldestSeq = this.#oldestSeq;
    // Without holes, so a seq is an index.
    const start = Math.max(0, afterSeq + 1 - oldestSeq);
    const events = this.#events.slice(start, start + limit);
    return { events, oldestSeq, lastSeq: this.#lastSeq, lease: this.#leaseAs(workerId) };
  }

  readVisible({ beforeSeq, limit }: VisibleRange): VisiblePage {
    const superseded = this.#supersededTurns();
    const events: LogEvent[] = [];
    for (const event of this.#events.toReversed()) {
      if (event.seq >= beforeSeq || isToolEvent(event)) continue;
      if (isOfTurn(event) && superseded.has(event.turnId)) continue;
      if (events.length === limit) return { events: events.reverse(), isFirst: false };
      events.push(event);
    }
    return { events: events.reverse(), isFirst: true };
  }

  /** From the newest event back: a `rewound` event comes before what it supersedes. */
  #supersededTurns(): ReadonlySet<string> {
    const superseded = new Set<string>();
    let fromSeq = Infinity;
    for (const event of this.#events.toReversed()) {
      if (event.kind === "rewound") fromSeq = Math.min(fromSeq, event.fromSeq);
      else if (event.kind === "query" && event.seq >= fromSeq) superseded.add(event.turnId);
    }
    return superseded;
  }

  get #oldestSeq(): number {
    return this.#events[0]?.seq ?? this.#lastSeq + 1;
  }

  /** All or nothing: what may be refused is looked at before anything is changed. */
  commit(write: LogWrite, workerId: string): Committed {
    const { events = [], lease: wish, epoch, startedTurnId, checkpoint, stop, onlyIfIdle } = write;
    const before = this.#leaseAs(workerId);
    if (epoch !== undefined && (this.#runner !== workerId || epoch !== this.#epoch)) {
      throw new AgentError("lease_lost", "Cannot write: another worker has taken over");
    }
    if (onlyIfIdle === true && before.holder === "other") {
      throw new AgentError("busy", "Cannot take query: an answer is being written", { retryable: true });
    }
    const isClaimed = wish === "claim" && before.holder !== "other";
    // Also where its own lease ran out, and nobody took it.
    if (isClaimed && this.#runner !== workerId) {
      this.#epoch++;
      this.#runner = workerId;
    }
    const isHolder = isClaimed || epoch !== undefined;
    if (isHolder) this.#leaseUntil = this.#options.clock.now() + this.#options.leaseMs;
    const inherited = isClaimed ? this.#turns.open : undefined;
    this.#describe((summary) => summary.touch(this.#options.clock.now()));
    const stopMatched = stop === undefined ? [] : this.#turns.stop(stop);
    const logged = events.flatMap((event) => this.#appendAll(event));
    if (checkpoint !== undefined) this.#turns.keep(checkpoint);
    if (startedTurnId !== undefined && isHolder) this.#turns.start(startedTurnId, this.#epoch);
    if (wish === "release" && isHolder) this.#runner = undefined;
    const committed = { events: logged, lastSeq: this.#lastSeq, stopMatched };
    const { holder, ...rest } = this.#leaseAs(workerId);
    if (holder !== "self") return { ...committed, lease: { ...rest, holder } };
    return {
      ...committed,
      lease: { ...rest, holder },
      stopped: this.#turns.stopped,
      ...(inherited !== undefined && { openTurns: inherited }),
    };
  }

  recordFeedback({ id, turnId, verdict, comment }: Feedback): { repeated: boolean } {
    const seen = this.#feedback ??= new Set();
    if (seen.has(id)) return { repeated: true };
    if (!this.#hasTurn(turnId)) {
      const words = 'Cannot record feedback: "turn_id" must name a turn of this session';
      throw new AgentError("unknown_turn", words);
    }
    seen.add(id);
    if (verdict === "modify") this.#notes = [...this.#notes, comment].slice(-MAX_NOTES);
    if (seen.size > this.#options.maxEvents) {
      for (const oldest of seen) {
        seen.delete(oldest);
        break;
      }
    }
    this.#countNotes();
    return { repeated: false };
  }

  #hasTurn(turnId: string): boolean {
    return this.#events.some((event) => "turnId" in event && event.turnId === turnId);
  }

  #leaseAs(workerId: string): Lease {
    const { clock } = this.#options;
    const leftMs = this.#leaseUntil - clock.now();
    if (this.#runner === undefined || leftMs <= 0) return { epoch: this.#epoch, holder: "nobody", leftMs: 0 };
    return { epoch: this.#epoch, holder: this.#runner === workerId ? "self" : "other", leftMs };
  }

  /** A query that replaces another comes after its `rewound` event; without the other it is not appended. */
  #appendAll(event: NewLogEvent): LogEvent[] {
    const isReplacing = event.kind === "query" && event.replaces !== undefined &&
      !this.#byKey.has(keyOf(event));
    if (!isReplacing) return [this.#append(event)];
    const { replaces = "", queryId, turnId }: QueryEvent = event;
    const fromSeq = this.#byKey.get(`q:${replaces}`)?.seq;
    if (fromSeq === undefined) return [];
    const earlier = this.readVisible({ beforeSeq: fromSeq, limit: Infinity }).events;
    if (!earlier.some(({ kind }) => kind === "query")) this.#describe((summary) => summary.forgetTitle());
    return [this.#append({ kind: "rewound", queryId, turnId, replaces, fromSeq }), this.#append(event)];
  }

  #append(event: NewLogEvent | RewoundEvent): LogEvent {
    const key = keyOf(event);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const logged: LogEvent = { ...event, seq: ++this.#lastSeq, at: this.#options.clock.now() };
    this.#byKey = withEntry(this.#byKey, key, logged);
    this.#events.push(logged);
    this.#chars += charsOf(logged);
    this.#describe((summary) => summary.add(logged));
    this.#kept.add(charsOf(logged));
    if (logged.kind === "configured") {
      this.#defaults = { ...this.#defaults, ...logged.options };
    } else if (logged.kind === "query") {
      this.#notes = [];
      this.#countNotes();
      this.#turns.add(logged);
    } else if (isToolEvent(logged)) {
      this.#turns.act(logged);
    } else if (isTerminal(logged)) {
      this.#turns.end(logged.turnId);
    }
    this.#trim();
    return logged;
  }

  #countNotes(): void {
    const count = this.#notes.length + (this.#feedback?.size ?? 0);
    if (count === 0 && this.#keptNotes === undefined) return;
    const texts = this.#notes.reduce((sum, note) => sum + textBytes(note.length), 0);
    this.#keptNotes ??= this.#memory.part();
    this.#keptNotes.set(texts + OVERHEAD_BYTES.message * count);
  }

  /** The newest event stays, however large. */
  #trim(): void {
    const { maxEvents, maxChars } = this.#options;
    while (this.#events.length > 1 && (this.#events.length > maxEvents || this.#chars > maxChars)) {
      const dropped = this.#events.shift();
      if (dropped === undefined) return;
      this.#chars -= charsOf(dropped);
      this.#kept.drop(charsOf(dropped));
      this.#byKey = withoutEntry(this.#byKey, keyOf(dropped));
    }
  }
}

/**
 * One session in the store, as plain data, with the semantics of `MemorySession` and `agent_commit`, and with numbered
 * calls.
 *
 * A worker's writes take effect in the order of their numbers. A number that arrives after a higher one changes
 * nothing. This is why a later write can serve as a fence. `store_test.ts` compares this store with `MemorySession`.
 */

import type {
  Checkpoint,
  Committed,
  CommittedByHolder,
  Lease,
  LogPage,
  LogWrite,
  OpenTurn,
  StopRequest,
  VisiblePage,
} from "../../supabase/functions/_shared/ports/event_log.ts";
import {
  isOfTurn,
  isTerminal,
  keyOf,
  type LogEvent,
  type NewLogEvent,
  type RewoundEvent,
} from "../../supabase/functions/_shared/protocol/log_event.ts";
import { isToolEvent } from "../../supabase/functions/_shared/protocol/tool_events.ts";
import type { StoredSession } from "../../supabase/functions/_shared/ports/session_store.ts";
import type { QueryOptions } from "../../supabase/functions/_shared/protocol/client_frames.ts";

export interface Store {
  readonly leaseMs: number;
  events: LogEvent[];
  /** Index into `events`, by the key that makes two events the same. */
  keys: Map<string, number>;
  /** By turn id, oldest first. */
  openTurns: Map<string, OpenTurn>;
  /** Checkpoints of the current run, by turn id. */
  pieces: Map<string, number>;
  /** The epoch of the last start of each open turn. */
  startedIn: Map<string, number>;
  epoch: number;
  runner: string | undefined;
  leaseUntil: number;
  defaults: QueryOptions;
  /** The highest executed number of each worker. */
  numbers: Map<string, number>;
}

export type Outcome = { committed: Committed } | { rejected: "lease_lost" | "busy" | "internal" };

export function newStore(leaseMs: number): Store {
  return {
    leaseMs,
    events: [],
    keys: new Map(),
    openTurns: new Map(),
    pieces: new Map(),
    startedIn: new Map(),
    epoch: 0,
    runner: undefined,
    leaseUntil: 0,
    defaults: {},
    numbers: new Map(),
  };
}

/** What is in its maps is replaced and never changed, so the copy shares it. */
export function copyOfStore(store: Store): Store {
  return {
    ...store,
    events: store.events.slice(),
    keys: new Map(store.keys),
    openTurns: new Map(store.openTurns),
    pieces: new Map(store.pieces),
    startedIn: new Map(store.startedIn),
    numbers: new Map(store.numbers),
  };
}

/** A page of the log, as `worker` reads it. */
export function readLog(store: Store, worker: string, afterSeq: number, now: number): LogPage {
  return {
    events: store.events.slice(afterSeq, afterSeq + PAGE),
    oldestSeq: 1,
    lastSeq: store.events.length,
    lease: leaseAs(store, worker, now),
  };
}

const PAGE = 500;

/** The newest events before `beforeSeq` that are not superseded. */
export function readVisible({ events }: Store, beforeSeq: number, limit: number): VisiblePage {
  const superseded = supersededTurns(events);
  const visible = events.filter((event) =>
    event.seq < beforeSeq && !isToolEvent(event) && (!isOfTurn(event) || !superseded.has(event.turnId))
  );
  return { events: visible.slice(-limit), isFirst: visible.length <= limit };
}

/** The turns whose questions a later `rewound` event has superseded. */
export function supersededTurns(events: readonly LogEvent[]): Set<string> {
  const superseded = new Set<string>();
  for (const rewound of events) {
    if (rewound.kind !== "rewound") continue;
    for (const event of events) {
      const isIn = event.seq >= rewound.fromSeq && event.seq < rewound.seq;
      if (event.kind === "query" && isIn) superseded.add(event.turnId);
    }
  }
  return superseded;
}

/** The session as a worker finds it. */
export function findSession(store: Store, worker: string, tail: number, now: number): StoredSession {
  const { events, openTurns, defaults } = store;
  return {
    record: { sessionId: "s", owner: { kind: "user", userId: "u" }, createdAt: 0 },
    tail: {
      events: readVisible(store, events.length + 1, tail).events,
      oldestSeq: 1,
      lastSeq: events.length,
      lease: leaseAs(store, worker, now),
    },
    openTurns: [...openTurns.values()],
    defaults,
    notes: [],
  };
}

/** Executes a write completely or not at all; undefined if a later write of this worker was executed before. */
export function commit(
  store: Store,
  worker: string,
  number: number,
  write: LogWrite,
  now: number,
): Outcome | undefined {
  if ((store.numbers.get(worker) ?? 0) >= number) return undefined;
  store.numbers.set(worker, number);
  const { events = [], lease: wish, epoch, startedTurnId, checkpoint, stop, onlyIfIdle } = write;
  const before = leaseAs(store, worker, now);
  if (epoch !== undefined && (store.runner !== worker || epoch !== store.epoch)) {
    return { rejected: "lease_lost" };
  }
  if (onlyIfIdle === true && before.holder === "other") return { rejected: "busy" };
  const isClaimed = wish === "claim" && before.holder !== "other";
  if (isClaimed && store.runner !== worker) {
    store.epoch++;
    store.runner = worker;
  }
  const isHolder = isClaimed || epoch !== undefined;
  if (isHolder) store.leaseUntil = now + store.leaseMs;
  const inherited = [...store.openTurns.values()];
  const stopMatched = stop === undefined ? [] : stopTurns(store, stop);
  const logged = events.flatMap((event) => appendAll(store, event, now));
  if (checkpoint !== undefined) keep(store, checkpoint);
  if (startedTurnId !== undefined && isHolder && store.openTurns.has(startedTurnId)) {
    const isAgain = store.startedIn.get(startedTurnId) === store.epoch;
    store.startedIn.set(startedTurnId, store.epoch);
    change(store, startedTurnId, ({ starts, startsWithoutText }) => ({
      starts: starts + 1,
      startsWithoutText: startsWithoutText + (isAgain ? 0 : 1),
    }));
    store.pieces.delete(startedTurnId);
  }
  if (wish === "release" && isHolder) store.runner = undefined;
  const committed = { events: logged, lastSeq: store.events.length, stopMatched };
  const { holder, ...rest } = leaseAs(store, worker, now);
  if (holder !== "self") return { committed: { ...committed, lease: { ...rest, holder } } };
  return {
    committed: {
      ...committed,
      lease: { ...rest, holder },
      stopped: stoppedTurns(store),
      ...(isClaimed && { openTurns: inherited }),
    },
  };
}

/** The queries whose turns have begun and have no end. */
export function runningQueries({ openTurns }: Store): string[] {
  return [...openTurns.values()].flatMap(({ starts, query }) => starts > 0 ? [query.queryId] : []);
}

export function openTurnOf({ openTurns }: Store, queryId: string): OpenTurn | undefined {
  for (const open of openTurns.values()) if (open.query.queryId === queryId) return open;
  return undefined;
}

function leaseAs({ runner, leaseUntil, epoch }: Store, worker: string, now: number): Lease {
  const leftMs = leaseUntil - now;
  if (runner === undefined || leftMs <= 0) return { epoch, holder: "nobody", leftMs: 0 };
  return { epoch, holder: runner === worker ? "self" : "other", leftMs };
}

/** A query that replaces another comes after its `rewound` event; without the other it is not appended. */
function appendAll(store: Store, event: NewLogEvent, now: number): LogEvent[] {
  if (event.kind !== "query" || event.replaces === undefined || store.keys.has(keyOf(event))) {
    return [append(store, event, now)];
  }
  const { replaces, queryId, turnId } = event;
  const index = store.keys.get(`q:${replaces}`);
  if (index === undefined) return [];
  return [
    append(store, { kind: "rewound", queryId, turnId, replaces, fromSeq: index + 1 }, now),
    append(store, event, now),
  ];
}

function append(store: Store, event: NewLogEvent | RewoundEvent, now: number): LogEvent {
  const key = keyOf(event);
  const index = store.keys.get(key);
  const known = index === undefined ? undefined : store.events[index];
  if (known !== undefined) return known;
  const logged: LogEvent = Object.freeze({ ...event, seq: store.events.length + 1, at: now });
  store.keys.set(key, store.events.length);
  store.events.push(logged);
  if (logged.kind === "query") {
    store.openTurns.set(logged.turnId, {
      query: logged,
      starts: 0,
      startsWithoutText: 0,
      partial: "",
      stopped: undefined,
      tools: [],
    });
  } else if (isToolEvent(logged)) {
    change(store, logged.turnId, ({ starts, tools }) => ({
      starts: Math.min(starts, 1),
      startsWithoutText: 0,
      tools: [...tools, logged],
    }));
  } else if (isTerminal(logged)) {
    store.openTurns.delete(logged.turnId);
    store.pieces.delete(logged.turnId);
    store.startedIn.delete(logged.turnId);
  } else if (logged.kind === "configured") store.defaults = { ...store.defaults, ...logged.options };
  return logged;
}

function keep(store: Store, { turnId, number, text }: Checkpoint): void {
  if (!store.openTurns.has(turnId) || number !== (store.pieces.get(turnId) ?? 0) + 1) return;
  store.pieces.set(turnId, number);
  change(store, turnId, ({ partial }) => ({
    partial: number === 1 ? text : partial + text,
    startsWithoutText: 0,
  }));
}

function stopTurns(store: Store, { which, reason }: StopRequest): string[] {
  const matched: string[] = [];
  for (const [turnId, { query, starts }] of store.openTurns) {
    const isMeant = typeof which === "object"
      ? which.queryId === query.queryId
      : which === "all" || (which === "running") === (starts > 0);
    if (!isMeant) continue;
    change(store, turnId, ({ stopped }) => ({ stopped: stopped ?? reason }));
    matched.push(query.queryId);
  }
  return matched;
}

function stoppedTurns({ openTurns }: Store): CommittedByHolder["stopped"] {
  const stopped: { queryId: string; reason: NonNullable<OpenTurn["stopped"]> }[] = [];
  for (const { query: { queryId }, stopped: reason } of openTurns.values()) {
    if (reason !== undefined) stopped.push({ queryId, reason });
  }
  return stopped;
}

function change(store: Store, turnId: string, changed: (turn: OpenTurn) => Partial<OpenTurn>): void {
  const turn = store.openTurns.get(turnId);
  if (turn !== undefined) store.openTurns.set(turnId, { ...turn, ...changed(turn) });
}

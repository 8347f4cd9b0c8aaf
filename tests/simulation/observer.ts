/**
 * What one client is shown, and whether that is allowed. Every rule that a client could see broken is checked here,
 * frame by frame. A broken rule throws a {@linkcode Violation}.
 */

import type { Effect } from "../../supabase/functions/_shared/session/core/effect.ts";
import { isTerminal, type LogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { textOf } from "../../supabase/functions/_shared/session/core/turn.ts";
import type { Store } from "./store.ts";

/** An invariant was broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** One connection, as its client sees it. */
export interface Seat {
  connectionId: string;
  /** The newest `seq` that the client was shown, starting from its cursor. */
  seen: number;
  /** The text built from deltas, by turn. */
  texts: Map<string, string>;
  /** The reasoning built from its frames, by turn. */
  thoughts: Map<string, string>;
  /** Turns whose end the client was shown, on this connection or before. */
  endedTurns: Set<string>;
  /** Queries that the client has sent again: they may be refused, also after their end. */
  repeated: Set<string>;
}

export function newSeat(connectionId: string, seen: number, store: Store): Seat {
  const endedTurns = new Set<string>();
  for (const event of store.events.slice(0, seen)) if (isTerminal(event)) endedTurns.add(event.turnId);
  return { connectionId, seen, texts: new Map(), thoughts: new Map(), endedTurns, repeated: new Set() };
}

/** A durable event: in the order of `seq`, each once, and equal to the event in the log. */
export function seeEvent(seat: Seat, event: LogEvent, store: Store): void {
  check(
    event.seq === seat.seen + 1,
    () => `${seat.connectionId} is shown seq ${event.seq} after ${seat.seen}`,
  );
  const logged = store.events[event.seq - 1];
  check(
    logged !== undefined && (logged === event || JSON.stringify(logged) === JSON.stringify(event)),
    () => `${seat.connectionId} is shown a seq ${event.seq} that is not in the log`,
  );
  seat.seen = event.seq;
  if (!isTerminal(event)) return;
  const text = seat.texts.get(event.turnId) ?? "";
  check(
    event.kind === "error" && event.code !== "interrupted" || textOf(event).startsWith(text),
    () => `${seat.connectionId} has "${text}" of an answer that ended as "${textOf(event)}"`,
  );
  seat.endedTurns.add(event.turnId);
  seat.texts.delete(event.turnId);
  seat.thoughts.delete(event.turnId);
}

type Acknowledge = Extract<Effect, { kind: "acknowledge" }>;
type Delta = Extract<Effect, { kind: "delta" }>;

/** A status that answers a query. A status with a `seq` is a durable event as well. */
export function seeStatus(seat: Seat, { seq, queryId, turnId }: Acknowledge, store: Store): void {
  check(
    !seat.endedTurns.has(turnId),
    () => `${seat.connectionId} is told that ${queryId} runs after its end`,
  );
  if (seq === undefined) return;
  const event = store.events[seq - 1];
  check(
    event?.kind === "query" && event.turnId === turnId,
    () => `${queryId} is acknowledged and not in the log`,
  );
  if (seq <= seat.seen || event === undefined) return;
  seeEvent(seat, event, store);
}

/** A delta: its query was shown and has no end, and the text has no hole. */
export function seeDelta(seat: Seat, { turnId, queryId, offset, content }: Delta, store: Store): void {
  check(!seat.endedTurns.has(turnId), () => `${seat.connectionId} is shown text of ${queryId} after its end`);
  const asked = store.events.find((event) => event.kind === "query" && event.turnId === turnId);
  check(
    asked !== undefined && asked.seq <= seat.seen,
    () => `${seat.connectionId} is shown text of ${queryId} before its question`,
  );
  const text = seat.texts.get(turnId) ?? "";
  check(
    offset <= text.length,
    () => `${seat.connectionId} is shown ${queryId} from ${offset} and has ${text.length}`,
  );
  seat.texts.set(turnId, text.slice(0, offset) + content);
}

/** A piece of reasoning: its query was shown and has no end, there is no hole, and it is that of one model call. */
export function seeReasoning(seat: Seat, effect: Extract<Effect, { kind: "reasoning" }>, store: Store): void {
  const { turnId, queryId, offset, content } = effect;
  const { connectionId } = seat;
  check(!seat.endedTurns.has(turnId), () => `${connectionId} is shown reasoning of ${queryId} after its end`);
  const asked = store.events.find((event) => event.kind === "query" && event.turnId === turnId);
  check(
    asked !== undefined && asked.seq <= seat.seen,
    () => `${connectionId} is shown reasoning of ${queryId} before its question`,
  );
  const known = seat.thoughts.get(turnId) ?? "";
  check(
    offset <= known.length,
    () => `${connectionId} is shown reasoning of ${queryId} from ${offset} and has ${known.length}`,
  );
  const thoughts = known.slice(0, offset) + content;
  const calls = new Set(thoughts.match(/~\S+/g));
  check(
    calls.size <= 1,
    () => `${connectionId} is shown reasoning of ${queryId} from ${[...calls].join(" and ")}`,
  );
  seat.thoughts.set(turnId, thoughts);
}

/** A refusal without a `seq`: never of a query whose end was shown. */
export function seeRefusal(seat: Seat, queryId: string, store: Store): void {
  const asked = store.events.find((event) => event.kind === "query" && event.queryId === queryId);
  const isOver = asked?.kind === "query" && seat.endedTurns.has(asked.turnId);
  check(
    !isOver || seat.repeated.has(queryId),
    () => `${seat.connectionId} is refused ${queryId} after its end`,
  );
}

export function check(isSo: boolean, words: () => string): asserts isSo {
  if (!isSo) throw new Violation(words());
}

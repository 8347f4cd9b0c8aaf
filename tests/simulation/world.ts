/**
 * Workers, clients, a store, a relay and a model, as plain data. What is under way is a {@linkcode Message}; the mode that
 * runs the world decides when each arrives, and whether it does.
 */

import type { LogWrite } from "../../supabase/functions/_shared/ports.ts";
import type { SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";
import type { Effect, ReadPurpose } from "../../supabase/functions/_shared/session/core/effect.ts";
import type { SessionEvent } from "../../supabase/functions/_shared/session/core/event.ts";
import { activeTurn } from "../../supabase/functions/_shared/session/core/run.ts";
import {
  type CoreSettings,
  newSession,
  type SessionState,
} from "../../supabase/functions/_shared/session/core/state.ts";
import { step, wakeAt } from "../../supabase/functions/_shared/session/core/step.ts";
import { checkGranted, forgetKeeper, type Granted } from "./wishes.ts";
import { check, newSeat, type Seat, seeDelta, seeEvent, seeRefusal, seeStatus } from "./observer.ts";
import { commit, newStore, openTurnOf, type Outcome, readLog, runningQueries, type Store } from "./store.ts";

export interface Worker {
  /** Unique for each life. */
  id: string;
  state: SessionState;
  /** How far its clock is ahead, in milliseconds. */
  skewMs: number;
  /** Model calls that were begun and are neither ended nor given up. */
  calls: Set<number>;
  /** When it wants to be woken, in milliseconds of the world; undefined where it does not. */
  wakeAt: number | undefined;
  isDrained: boolean;
}

export interface Client {
  name: string;
  /** Where it is connected. */
  workerId: string | undefined;
  seat: Seat | undefined;
  /** The newest `seq` it has, over all its connections. */
  lastSeq: number;
  wantsDeltas: boolean;
  connections: number;
  /** Queries it has asked and that have neither an acknowledgement nor a refusal: it sends them again. */
  unanswered: Map<string, Extract<SessionEvent, { kind: "ask" }>>;
}

export type Message =
  | { kind: "write"; from: string; number: number; write: LogWrite; isGivenUp: boolean }
  | { kind: "answer"; to: string; number: number; outcome: Outcome | { doubt: true } }
  | { kind: "read"; from: string; purpose: ReadPurpose; afterSeq: number }
  | { kind: "page"; to: string; event: Extract<SessionEvent, { kind: "page" | "read_failed" }> }
  | { kind: "relay"; to: string; call: SessionCall }
  | { kind: "model"; to: string; call: number; turnId: string; piece: number }
  | { kind: "replayed"; to: string; connectionId: string; seq: number };

/** What was asked to be stopped, and what the store had then. */
interface Wish {
  queryId: string | undefined;
  running: readonly string[];
  /** Queries that were asked after it. */
  askedAgain: Set<string>;
}

export interface World {
  now: number;
  settings: CoreSettings;
  store: Store;
  workers: Map<string, Worker>;
  clients: Client[];
  /** Model calls begun, by query, but for those that were given up because another worker had the query. */
  callsOf: Map<string, number>;
  /** Which worker has written text under an epoch. */
  writers: Map<number, string>;
  wishes: Map<string, Wish>;
  granted: Granted;
  counts: { steps: number; ids: number; vainCalls: number };
  /** Hands a message to whatever runs the world. */
  post(message: Message): void;
  /** Told of each effect that a client or a reader of a transcript could see. */
  onEffect?(worker: Worker, effect: Effect): void;
  onEvent?(worker: Worker, event: SessionEvent): void;
}

export interface WorldOptions {
  settings: CoreSettings;
  leaseMs: number;
  clients: readonly string[];
  startAt?: number;
  post(message: Message): void;
}

export function newWorld({ settings, leaseMs, clients, startAt = 1_000_000, post }: WorldOptions): World {
  return {
    now: startAt,
    settings,
    store: newStore(leaseMs),
    workers: new Map(),
    clients: clients.map((name) => ({
      name,
      workerId: undefined,
      seat: undefined,
      lastSeq: 0,
      wantsDeltas: true,
      connections: 0,
      unanswered: new Map(),
    })),
    callsOf: new Map(),
    writers: new Map(),
    wishes: new Map(),
    granted: new Map(),
    counts: { steps: 0, ids: 0, vainCalls: 0 },
    post,
  };
}

/** A worker opens the session from the store, as the registry does. */
export function startWorker(world: World, id: string, skewMs = 0): Worker {
  const worker: Worker = {
    id,
    state: newSession(world.settings),
    skewMs,
    calls: new Set(),
    wakeAt: undefined,
    isDrained: false,
  };
  world.workers.set(id, worker);
  const lastSeq = world.store.events.length;
  if (lastSeq > 0) tell(world, worker, { kind: "head", seq: lastSeq });
  return worker;
}

/** It is gone at once; what it has sent may still arrive. */
export function killWorker(world: World, id: string): void {
  forgetKeeper(world.granted, id);
  world.workers.delete(id);
  for (const client of world.clients) {
    if (client.workerId !== id) continue;
    client.workerId = undefined;
    client.seat = undefined;
  }
}

/** Something happens at a worker; what it wants done is done. */
export function tell(world: World, worker: Worker, event: SessionEvent): void {
  world.counts.steps++;
  world.onEvent?.(worker, event);
  const effects = step(worker.state, event, world.now + worker.skewMs);
  for (const effect of effects) perform(world, worker, effect);
  const wake = wakeAt(worker.state);
  worker.wakeAt = wake === undefined ? undefined : Math.max(world.now, wake - worker.skewMs);
  if (world.granted.size > 0) checkGranted(world);
  const active = activeTurn(worker.state);
  const call = active?.phase === "running"
    ? active.call
    : active?.attempt.name === "calling"
    ? active.attempt.call
    : undefined;
  for (const open of worker.calls) {
    check(open === call, () => `${worker.id} has a model call that no turn waits for`);
  }
}

export function connect(world: World, client: Client, worker: Worker): void {
  const connectionId = `${client.name}-${++client.connections}`;
  client.workerId = worker.id;
  client.seat = newSeat(connectionId, client.lastSeq, world.store);
  tell(world, worker, { kind: "head", seq: world.store.events.length });
  tell(world, worker, {
    kind: "attach",
    connectionId,
    cursor: client.lastSeq,
    wantsDeltas: client.wantsDeltas,
    isResumed: client.connections > 1 || world.store.events.length > 0,
  });
  for (const ask of client.unanswered.values()) send(world, client, ask);
}

/** `lost`: frames with a `seq` that were on their way. */
export function disconnect(world: World, client: Client, lost: number): void {
  const worker = workerOf(world, client);
  const { seat } = client;
  client.workerId = undefined;
  client.seat = undefined;
  if (seat === undefined) return;
  client.lastSeq = Math.max(client.lastSeq, seat.seen - lost);
  if (worker !== undefined) tell(world, worker, { kind: "detach", connectionId: seat.connectionId });
}

/** A client asks; the same again is the same query. */
export function send(world: World, client: Client, ask: Extract<SessionEvent, { kind: "ask" }>): void {
  const worker = workerOf(world, client);
  if (worker === undefined || client.seat === undefined) return;
  const { queryId } = ask.query;
  if (client.unanswered.has(queryId) || world.store.keys.has(`q:${queryId}`)) {
    client.seat.repeated.add(queryId);
  }
  client.unanswered.set(queryId, ask);
  // Whoever asks again after a stop wants an answer.
  world.granted.delete(queryId);
  for (const wish of world.wishes.values()) wish.askedAgain.add(queryId);
  const turnId = `${queryId}.${worker.id}.${client.seat.connectionId}`;
  tell(world, worker, { ...ask, query: { ...ask.query, turnId, connectionId: client.seat.connectionId } });
}

export function sendStop(
  world: World,
  client: Client,
  stop: Extract<SessionEvent, { kind: "stop" }>["stop"],
): void {
  const worker = workerOf(world, client);
  if (worker === undefined) return;
  const wish = `${client.name}-w${++world.counts.ids}`;
  const queryId = typeof stop.which === "object" ? stop.which.queryId : undefined;
  const isKnown = queryId !== undefined && openTurnOf(world.store, queryId) !== undefined;
  const running = stop.which === "running" ? runningQueries(world.store) : isKnown ? [queryId] : [];
  world.wishes.set(wish, { queryId, running, askedAgain: new Set() });
  tell(world, worker, { kind: "stop", wish, stop });
}

export function workerOf(world: World, { workerId }: Client): Worker | undefined {
  return workerId === undefined ? undefined : world.workers.get(workerId);
}

/** A message arrives. */
export function deliver(world: World, message: Message): void {
  if (message.kind === "write") {
    const { from, number, write, isGivenUp } = message;
    const outcome = commit(world.store, from, number, write, world.now);
    if (!isGivenUp && outcome !== undefined) world.post({ kind: "answer", to: from, number, outcome });
    return;
  }
  const worker = world.workers.get(message.kind === "read" ? message.from : message.to);
  if (worker === undefined) return;
  switch (message.kind) {
    case "read": {
      const { from, purpose, afterSeq } = message;
      const page = readLog(world.store, from, afterSeq, world.now);
      return world.post({ kind: "page", to: from, event: { kind: "page", purpose, afterSeq, page } });
    }
    case "answer":
      return tell(world, worker, eventOf(message.number, message.outcome));
    case "page":
      return tell(world, worker, message.event);
    case "relay":
      return tell(world, worker, { kind: "called", call: message.call });
    case "replayed":
      return tell(world, worker, { kind: "replayed", connectionId: message.connectionId, seq: message.seq });
    case "model":
      if (!worker.calls.has(message.call)) return;
      return tell(world, worker, {
        kind: "text",
        call: message.call,
        text: `${message.turnId}.${worker.id}.${message.piece} `,
      });
  }
}

/** The model is done with a call. */
export function endCall(world: World, worker: Worker, call: number, ok: boolean): void {
  if (!worker.calls.delete(call)) return;
  const outcome = ok
    ? { ok, reply: { finishReason: "stop", model: "m" } } as const
    : { ok, code: "model_unavailable", content: "the model is away", retryable: true } as const;
  tell(world, worker, { kind: "model_ended", call, outcome });
}

function eventOf(number: number, outcome: Outcome | { doubt: true }): SessionEvent {
  if ("committed" in outcome) return { kind: "committed", number, answer: outcome.committed };
  return "rejected" in outcome
    ? { kind: "rejected", number, code: outcome.rejected }
    : { kind: "in_doubt", number };
}

function perform(world: World, worker: Worker, effect: Effect): void {
  world.onEffect?.(worker, effect);
  const { store } = world;
  switch (effect.kind) {
    case "commit":
      return world.post({
        kind: "write",
        from: worker.id,
        number: effect.number,
        write: effect.write,
        isGivenUp: false,
      });
    case "read":
      return world.post({
        kind: "read",
        from: worker.id,
        purpose: effect.purpose,
        afterSeq: effect.afterSeq,
      });
    case "ask": {
      const { queryId, turnId } = effect.query;
      worker.calls.add(effect.call);
      world.callsOf.set(queryId, (world.callsOf.get(queryId) ?? 0) + 1);
      return world.post({ kind: "model", to: worker.id, call: effect.call, turnId, piece: 1 });
    }
    case "abort":
      return void worker.calls.delete(effect.call);
    case "account_call":
      if (effect.why !== "in_vain") return;
      world.counts.vainCalls++;
      world.callsOf.set(effect.query.queryId, (world.callsOf.get(effect.query.queryId) ?? 0) - 1);
      return;
    case "show":
      return seatsOf(world, worker, effect.to, (seat) => seeEvent(seat, effect.event, store));
    case "replay": {
      const { connectionId, events } = effect;
      seatsOf(
        world,
        worker,
        [connectionId],
        (seat) => events.forEach((event) => seeEvent(seat, event, store)),
      );
      const seq = events.at(-1)?.seq ?? 0;
      return world.post({ kind: "replayed", to: worker.id, connectionId, seq });
    }
    case "delta":
      return seatsOf(world, worker, effect.to, (seat) => seeDelta(seat, effect, store));
    case "acknowledge":
      return seatsOf(world, worker, effect.to, (seat, client) => {
        seeStatus(seat, effect, store);
        if (effect.seq !== undefined) client.unanswered.delete(effect.queryId);
      });
    case "repeat_end":
      return seatsOf(
        world,
        worker,
        [effect.connectionId],
        (_, client) => client.unanswered.delete(effect.event.queryId),
      );
    case "refuse":
      return seatsOf(world, worker, effect.to, (seat, client) => {
        seeRefusal(seat, effect.queryId, store);
        client.unanswered.delete(effect.queryId);
      });
    case "answer":
      return settleWish(world, effect);
    case "send":
      return broadcast(world, worker, effect.call);
    case "close_slow":
      return seatsOf(world, worker, [effect.connectionId], (seat, client) => {
        client.lastSeq = Math.max(client.lastSeq, seat.seen);
        client.seat = undefined;
        client.workerId = undefined;
        worker.state.connections.delete(seat.connectionId);
      });
    case "drained":
      worker.isDrained = true;
      // Where the store was out of reach to the end, its wishes go with it.
      return forgetKeeper(world.granted, worker.id);
    case "account":
    case "learnt":
    case "taken_over":
    case "log":
      return;
    case "gone":
      return check(false, () => `${worker.id} says that the session is gone`);
  }
}

/** A wish that reached nothing must have had nothing to reach, from when it was made until it was answered. */
function settleWish(world: World, { wish, result }: Extract<Effect, { kind: "answer" }>): void {
  const made = world.wishes.get(wish);
  world.wishes.delete(wish);
  if (made === undefined || !result.ok) return;
  for (const queryId of result.queryIds) {
    if (!made.askedAgain.has(queryId)) world.granted.set(queryId, undefined);
  }
  for (const queryId of made.running) {
    const open = openTurnOf(world.store, queryId);
    // Its answer is complete, and on the way to the log.
    if ([...world.workers.values()].some(({ state }) => state.turns.get(queryId)?.phase === "ending")) {
      continue;
    }
    const isMissed = open !== undefined && open.stopped === undefined && result.queryIds.length === 0;
    check(!isMissed, () => `${wish} was told that there is nothing to stop while ${queryId} runs`);
  }
}

function broadcast(world: World, worker: Worker, call: SessionCall): void {
  if (call.kind === "tail") {
    const writer = world.writers.get(call.epoch) ?? worker.id;
    check(writer === worker.id, () => `${worker.id} writes text under epoch ${call.epoch} of ${writer}`);
    world.writers.set(call.epoch, writer);
  }
  for (const { id } of world.workers.values()) {
    if (id !== worker.id) world.post({ kind: "relay", to: id, call });
  }
}

function seatsOf(
  world: World,
  worker: Worker,
  ids: readonly string[],
  use: (seat: Seat, client: Client) => void,
): void {
  for (const client of world.clients) {
    if (
      client.workerId === worker.id && client.seat !== undefined && ids.includes(client.seat.connectionId)
    ) {
      use(client.seat, client);
    }
  }
}

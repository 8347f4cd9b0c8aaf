/** The actions of clients. */

import type { SessionEvent } from "../../supabase/functions/_shared/session/core/event.ts";
import { newSeat } from "./observer.ts";
import { openTurnOf, runningQueries } from "./store.ts";
import { tell } from "./world.ts";
import type { Client, Worker, World } from "./world_state.ts";

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
    wantsReasoning: client.wantsReasoning,
    isResumed: client.connections > 1 || world.store.events.length > 0,
  });
  for (const ask of client.unanswered.values()) send(world, client, ask);
}

/** `lost`: the number of frames with a `seq` that were in transit and are lost. */
export function disconnect(world: World, client: Client, lost: number): void {
  const worker = workerOf(world, client);
  const { seat } = client;
  client.workerId = undefined;
  client.seat = undefined;
  if (seat === undefined) return;
  client.lastSeq = Math.max(client.lastSeq, seat.seen - lost);
  if (worker !== undefined) tell(world, worker, { kind: "detach", connectionId: seat.connectionId });
}

/** A client sends a query. The same event again is the same query. */
export function send(world: World, client: Client, ask: Extract<SessionEvent, { kind: "ask" }>): void {
  const worker = workerOf(world, client);
  if (worker === undefined || client.seat === undefined) return;
  const { queryId } = ask.query;
  const turnId = `${queryId}.${worker.id}.${client.seat.connectionId}`;
  if (client.unanswered.has(queryId) || world.store.keys.has(`q:${queryId}`)) {
    client.seat.repeated.add(queryId);
    world.resent.add(turnId);
  } else world.resent.delete(turnId);
  client.unanswered.set(queryId, ask);
  // A client that sends the query again after a stop wants an answer.
  world.granted.delete(queryId);
  for (const wish of world.wishes.values()) wish.askedAgain.add(queryId);
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

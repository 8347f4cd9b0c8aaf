/**
 * What happens to workers: they start, are killed, receive events, and messages arrive at them. The mode that runs the
 * world decides when each message arrives, and whether it does.
 */

import type { SessionEvent } from "../../supabase/functions/_shared/session/core/event.ts";
import {
  callingTurn,
  runningTurn,
  type SessionState,
} from "../../supabase/functions/_shared/session/core/state.ts";
import { openSession } from "../../supabase/functions/_shared/session/core/open.ts";
import { step, wakeAt } from "../../supabase/functions/_shared/session/core/step.ts";
import { check } from "./observer.ts";
import { perform } from "./perform.ts";
import { checkKnown } from "./prompts.ts";
import { commit, findSession, type Outcome, readLog, readVisible } from "./store.ts";
import { endTool, stepFor } from "./tools.ts";
import { checkGranted, forgetKeeper } from "./wishes.ts";
import type { Message, Worker, World } from "./world_state.ts";

/** How many of the newest events a worker reads that opens the session: so few that some exchanges are missing. */
const TAIL = 30;

/** A worker opens the session from the store, as the registry does. */
export function startWorker(world: World, id: string, skewMs = 0): Worker {
  const { store, settings } = world;
  const now = world.now + skewMs;
  const worker: Worker = {
    id,
    state: openSession(findSession(store, id, TAIL, now), settings, now),
    skewMs,
    calls: new Set(),
    known: new Map(),
    acts: new Set(),
    callsForResent: new Set(),
    wakeAt: undefined,
    isDrained: false,
  };
  world.workers.set(id, worker);
  // A worker opens a session for a connection, which attaches at once: turns that wait for a worker are claimed then.
  if (store.events.length > 0) tell(world, worker, { kind: "head", seq: store.events.length });
  return worker;
}

/** The worker ends at once; messages that it has sent may still arrive. */
export function killWorker(world: World, id: string): void {
  forgetKeeper(world.granted, id);
  world.workers.delete(id);
  for (const client of world.clients) {
    if (client.workerId !== id) continue;
    client.workerId = undefined;
    client.seat = undefined;
  }
}

/** Applies an event to a worker, and performs the resulting effects. */
export function tell(world: World, worker: Worker, event: SessionEvent): void {
  world.counts.steps++;
  world.onEvent?.(worker, event);
  const effects = step(worker.state, event, world.now + worker.skewMs);
  noteText(world, worker);
  for (const effect of effects) perform(world, worker, effect);
  setWake(world, worker);
  if (world.granted.size > 0) checkGranted(world);
  const call = callOf(worker.state);
  checkKnown(world, worker);
  for (const open of worker.calls) {
    check(open === call, () => `${worker.id} has a model call that no turn waits for`);
  }
}

function setWake({ now }: World, worker: Worker): void {
  const wake = wakeAt(worker.state, now + worker.skewMs);
  worker.wakeAt = wake === undefined ? undefined : Math.max(now, wake - worker.skewMs);
}

/** A message arrives. */
export function deliver(world: World, message: Message): void {
  if (message.kind === "write") {
    const { from, number, write, isGivenUp } = message;
    const outcome = commit(world.store, from, number, write, world.now);
    if (!isGivenUp && outcome !== undefined) world.post({ kind: "answer", to: from, number, outcome });
    return;
  }
  const worker = world.workers.get("from" in message ? message.from : message.to);
  if (worker === undefined) return;
  switch (message.kind) {
    case "read": {
      const { from, purpose, afterSeq } = message;
      const page = readLog(world.store, from, afterSeq, world.now);
      return world.post({ kind: "page", to: from, event: { kind: "page", purpose, afterSeq, page } });
    }
    case "recall": {
      const { from, beforeSeq, limit } = message;
      const page = readVisible(world.store, beforeSeq, limit);
      return world.post({ kind: "page", to: from, event: { kind: "recalled", beforeSeq, page } });
    }
    case "answer":
      return tell(world, worker, eventOf(message.number, message.outcome));
    case "page":
      return tell(world, worker, message.event);
    case "relay":
      return tell(world, worker, { kind: "called", call: message.call });
    case "acted":
      return endTool(world, worker, message.callId);
    case "replayed":
      return tell(world, worker, { kind: "replayed", connectionId: message.connectionId, seq: message.seq });
    case "model": {
      const { call, turnId, piece, begins } = message;
      if (!worker.calls.has(call)) return;
      if (begins === true) tell(world, worker, { kind: "restarted", call });
      // Before each piece of text the model thinks. The piece names the call.
      tell(world, worker, { kind: "reasoning", call, text: `~${worker.id}.${call} ` });
      return tell(world, worker, { kind: "text", call, text: `${turnId}.${worker.id}.${call}.${piece} ` });
    }
  }
}

/** Remembers a text that the worker may write to the store. */
function noteText({ texts, settings }: World, { state }: Worker): void {
  const turn = runningTurn(state);
  if (turn === undefined || settings.checkpointMs === Infinity) return;
  const { text, query: { turnId } } = turn;
  const known = texts.get(turnId) ?? [];
  if (known.includes(text)) return;
  texts.set(turnId, [...known.filter((other) => !text.startsWith(other)), text]);
}

/** A model call has ended. */
export function endCall(world: World, worker: Worker, call: number, ok: boolean): void {
  if (!worker.calls.delete(call)) return;
  const query = runningTurn(worker.state)?.query ?? callingTurn(worker.state)?.query;
  const steps = query === undefined ? 0 : worker.state.threads.get(query.turnId)?.length ?? 0;
  const next = query === undefined ? undefined : stepFor(query.queryId, steps);
  const outcome = ok
    ? { ok, reply: { finishReason: "stop", model: "m" }, ...(next && { step: next }) } as const
    : { ok, code: "model_unavailable", content: "the model is away", retryable: true } as const;
  tell(world, worker, { kind: "model_ended", call, outcome });
}

function eventOf(number: number, outcome: Outcome | { doubt: true }): SessionEvent {
  if ("committed" in outcome) return { kind: "committed", number, answer: outcome.committed };
  return "rejected" in outcome
    ? { kind: "rejected", number, code: outcome.rejected }
    : { kind: "in_doubt", number };
}

/** The model call that a turn waits for. */
export function callOf(state: SessionState): number | undefined {
  const attempt = callingTurn(state)?.attempt;
  return runningTurn(state)?.call ?? (attempt?.name === "calling" ? attempt.call : undefined);
}

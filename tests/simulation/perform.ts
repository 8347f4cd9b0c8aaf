/** Performs the effects of a worker's core, and checks what its clients are shown. */

import { isTerminal, type LogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import type { SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";
import type { Effect } from "../../supabase/functions/_shared/session/core/effect.ts";
import { textBefore } from "../../supabase/functions/_shared/session/core/thread.ts";
import type { Turn } from "../../supabase/functions/_shared/session/core/turn.ts";
import { check, type Seat, seeDelta, seeEvent, seeReasoning, seeRefusal, seeStatus } from "./observer.ts";
import { openTurnOf } from "./store.ts";
import { checkPrompt } from "./prompts.ts";
import { checkSteps, runTool } from "./tools.ts";
import { forgetKeeper } from "./wishes.ts";
import type { Client, Worker, World } from "./world_state.ts";

export function perform(world: World, worker: Worker, effect: Effect): void {
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
    case "recall": {
      const { beforeSeq, limit } = effect;
      return world.post({ kind: "recall", from: worker.id, beforeSeq, limit });
    }
    case "ask": {
      const { partial, query: { queryId, turnId } } = effect;
      checkPrompt(world, worker, effect);
      checkSteps(world, worker, effect);
      const before = textBefore(worker.state.threads.get(turnId));
      const isKnown = partial === "" ||
        world.texts.get(turnId)?.some((text) =>
            text.startsWith(before + partial) || text.startsWith(`${before}\n\n${partial}`)
          ) === true;
      check(
        isKnown,
        () => `${worker.id} continues ${queryId} after "${partial}", which no worker has written`,
      );
      worker.calls.add(effect.call);
      worker.known.set(turnId, worker.state.log.lastSeq);
      if (world.resent.has(turnId)) worker.callsForResent.add(queryId);
      else worker.callsForResent.delete(queryId);
      world.callsOf.set(queryId, (world.callsOf.get(queryId) ?? 0) + 1);
      return world.post({ kind: "model", to: worker.id, call: effect.call, turnId, piece: 1 });
    }
    case "abort":
      return void worker.calls.delete(effect.call);
    case "account_call":
      if (effect.why !== "in_vain") return;
      if (worker.callsForResent.has(effect.query.queryId)) world.counts.vainResends++;
      world.callsOf.set(effect.query.queryId, (world.callsOf.get(effect.query.queryId) ?? 0) - 1);
      return;
    case "show":
      return seatsOf(
        world,
        worker,
        effect.to,
        (seat, client) => seeLogged(world, seat, client, effect.event),
      );
    case "replay": {
      const { connectionId, events } = effect;
      seatsOf(
        world,
        worker,
        [connectionId],
        (seat, client) => events.forEach((event) => seeLogged(world, seat, client, event)),
      );
      const seq = events.at(-1)?.seq ?? 0;
      return world.post({ kind: "replayed", to: worker.id, connectionId, seq });
    }
    case "delta":
      return seatsOf(world, worker, effect.to, (seat) => seeDelta(seat, effect, store));
    case "reasoning":
      return seatsOf(world, worker, effect.to, (seat) => seeReasoning(seat, effect, store));
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
      return settleWish(world, worker, effect);
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
      // If the store could not be reached until the end, the worker's wishes are lost with it.
      return forgetKeeper(world.granted, worker.id);
    case "act":
      return runTool(world, worker, effect);
    case "abort_acts":
      return effect.callIds.forEach((callId) => worker.acts.delete(callId));
    case "account":
    case "account_step":
    case "learnt":
    case "taken_over":
    case "log":
      return;
    case "gone":
      return check(false, () => `${worker.id} says that the session is gone`);
  }
}

/** An event of the log. The end of a turn answers its query, whenever that was sent. */
function seeLogged(world: World, seat: Seat, client: Client, event: LogEvent): void {
  seeEvent(seat, event, world.store);
  if (event.kind === "tool_call" && event.needs !== "nothing") world.onWaiting?.(client, event.callId);
  if (isTerminal(event)) client.unanswered.delete(event.queryId);
}

/** A wish that stopped nothing must have had nothing to stop, from the time it was made until it was answered. */
function settleWish(
  world: World,
  { id }: Worker,
  { wish, result }: Extract<Effect, { kind: "answer" }>,
): void {
  const made = world.wishes.get(wish);
  world.wishes.delete(wish);
  if (made === undefined || !result.ok) return;
  for (const queryId of result.queryIds) {
    if (made.askedAgain.has(queryId) || isOnItsWayElsewhere(world, id, queryId)) continue;
    world.granted.set(queryId, id);
  }
  for (const queryId of made.running) {
    const open = openTurnOf(world.store, queryId);
    // Its answer is complete, or was stopped before, and its end is being written to the log.
    if ([...world.workers.values()].some(({ state }) => isOver(state.turns.get(queryId)))) continue;
    const isMissed = open !== undefined && open.stopped === undefined && result.queryIds.length === 0;
    check(!isMissed, () => `${wish} was told that there is nothing to stop while ${queryId} runs`);
  }
}

/**
 * Whether another worker is writing a query with this id that is not in the log yet: a stop does not reach that query.
 */
function isOnItsWayElsewhere({ workers }: World, workerId: string, queryId: string): boolean {
  return [...workers.values()].some(({ id, state }) => {
    const turn = id === workerId ? undefined : state.turns.get(queryId);
    return turn?.phase === "proposed" && turn.seq === undefined;
  });
}

function isOver(turn: Turn | undefined): boolean {
  return turn?.phase === "ending" || turn?.phase === "proposed" && turn.attempt.name === "done";
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

/** The state of a world after faults have stopped and everything has ended. */

import type { LogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { check } from "./observer.ts";
import { isCalm, type Plan } from "./plan.ts";
import { checkResults, stepsIn } from "./tools.ts";
import type { World } from "./world_state.ts";

/** Whether nothing is pending any more. */
export function isAtRest(world: World): boolean {
  const { store } = world;
  if (store.openTurns.size > 0) return false;
  // A killed worker does not release its lease.
  if (store.runner !== undefined && world.workers.has(store.runner)) return false;
  for (const client of world.clients) {
    if (client.seat?.seen !== store.events.length || client.unanswered.size > 0) return false;
  }
  for (const { state } of world.workers.values()) {
    if (state.connections.size > 0 && state.log.lastSeq !== store.events.length) return false;
    if (state.flight !== undefined || state.intents.length > 0 || state.turns.size > 0) return false;
  }
  return true;
}

/** The invariants of a world at rest. */
export function checkRest(world: World, plan: Plan): void {
  for (const { id, state } of world.workers.values()) {
    if (state.connections.size === 0) continue;
    check(
      JSON.stringify(state.defaults) === JSON.stringify(world.store.defaults),
      () => `${id} has other defaults than the log`,
    );
  }
  checkResults(world);
  if (!isCalm(plan)) return;
  // A query that a client sends again never causes a second call. (The first call may be wasted: if its write takes
  // longer than the client's reconnect, the second copy of the query is in the log first.)
  check(
    world.counts.vainResends === 0,
    () => `${world.counts.vainResends} model calls in vain for queries that were sent again`,
  );
  const { events } = world.store;
  const idsOf = (kind: LogEvent["kind"]): Set<string> =>
    new Set(events.flatMap((event) => event.kind === kind && "queryId" in event ? [event.queryId] : []));
  const [asked, cancelled] = [idsOf("query"), idsOf("cancelled")];
  for (const [queryId, calls] of world.callsOf) {
    // A refused query must have no model call. A query that another one displaced may have none.
    const wanted = 1 + stepsIn(events, queryId);
    const isRight = asked.has(queryId)
      ? calls === wanted || calls < wanted && cancelled.has(queryId)
      : calls === 0;
    check(isRight, () => `${queryId} took ${calls} model calls`);
  }
}

/** What is still pending, as text. */
export function describe(world: World): string {
  const { store, clients, workers } = world;
  const open = [...store.openTurns.values()].map(({ query }) => query.queryId);
  const seats = clients.map(({ name, seat, unanswered }) =>
    `${name}@${seat?.seen} waits for ${[...unanswered.keys()]}`
  );
  const states = [...workers.values()].map(({ id, state }) => {
    const turns = [...state.turns.values()].map(({ phase, query }) => `${query.queryId} ${phase}`);
    return `${id} ${state.life.name} ${
      JSON.stringify(state.lease)
    } [${turns}] flight ${state.flight?.number} log ${JSON.stringify(state.log)}`;
  });
  return `log ${store.events.length}, lease ${store.runner}, open [${open}]; ${seats.join("; ")}; ${
    states.join("; ")
  }`;
}

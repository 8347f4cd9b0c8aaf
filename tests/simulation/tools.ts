/** Tools in the simulator: what the model calls, what runs, and who decides. */

import type { PlannedCall } from "../../supabase/functions/_shared/ports/agent.ts";
import { isTerminal, type LogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { isToolEvent, type ToolEvent } from "../../supabase/functions/_shared/protocol/tool_events.ts";
import type { Effect } from "../../supabase/functions/_shared/session/core/effect.ts";
import type { ModelStep } from "../../supabase/functions/_shared/session/core/turn.ts";
import { check } from "./observer.ts";
import { tell } from "./world.ts";
import type { Client, Worker, World } from "./world_state.ts";

const CALL: PlannedCall = { name: "once", input: {}, needs: "nothing", asUser: false, isIdempotent: false };
const AGAIN: PlannedCall = { ...CALL, name: "again", isIdempotent: true };
const AS_USER: PlannedCall = { ...CALL, name: "as_user", asUser: true };
const ASKED: PlannedCall = { ...CALL, name: "asked", needs: "approval" };
const BY_CLIENT: PlannedCall = { ...CALL, name: "by_client", needs: "client" };
const WRONG: PlannedCall = { ...CALL, name: "wrong", refusal: "there is no such tool" };

/** The steps of the queries that call tools. The other queries call none. */
const STEPS: Readonly<Record<string, readonly (readonly PlannedCall[])[]>> = {
  t1: [[CALL]],
  t2: [[ASKED]],
  t3: [[AGAIN, CALL, ASKED], [AS_USER]],
  t4: [[WRONG], [BY_CLIENT, AS_USER]],
  t5: [[CALL, CALL, CALL, AGAIN, CALL, ASKED]],
  t6: [[ASKED, AGAIN]],
};

/** What a model call ends with, behind so many steps of its turn; undefined for an answer. */
export function stepFor(queryId: string, steps: number): ModelStep | undefined {
  const calls = STEPS[queryId]?.[steps];
  return calls === undefined ? undefined : { calls };
}

/** A worker runs a tool. It was started in the log, and what needs a decision has one. */
export function runTool(world: World, worker: Worker, effect: Extract<Effect, { kind: "act" }>): void {
  const { callId, name } = effect;
  const { events } = world.store;
  const of = toolEventsOf(events, callId);
  const runs = (world.runs.get(callId) ?? 0) + 1;
  world.runs.set(callId, runs);
  check(
    of.some(({ kind }) => kind === "tool_started"),
    () => `${worker.id} runs ${callId} before the log says so`,
  );
  // A worker whose clock was set back may hold its lease to be fresh. Then one that may run again does.
  const hasResult = of.some(({ kind }) => kind === "tool_result");
  check(name === "again" || !hasResult, () => `${worker.id} runs ${callId}, which has a result`);
  check(name !== "wrong" && name !== "by_client", () => `${worker.id} runs ${name}`);
  check(name === "again" || runs === 1, () => `${callId} (${name}) runs ${runs} times`);
  const decided = of.find((event) => event.kind === "approval_decided");
  const isAllowed = decided?.kind === "approval_decided" && ["approve", "modify"].includes(decided.verdict);
  check(name !== "asked" || isAllowed, () => `${worker.id} runs ${callId}, which nobody has allowed`);
  worker.acts.add(callId);
  world.post({ kind: "acted", to: worker.id, callId });
}

/** A tool that a worker runs has ended. */
export function endTool(world: World, worker: Worker, callId: string): void {
  if (!worker.acts.delete(callId)) return;
  tell(world, worker, { kind: "acted", callId, outcome: { outcome: "ok", output: `result of ${callId}` } });
}

/** Somebody decides about a call, or a client answers it. Says nothing of what becomes of it. */
export function decide(world: World, client: Client, worker: Worker, callId: string, number: number): void {
  const call = toolEventsOf(world.store.events, callId).find((event) => event.kind === "tool_call");
  if (call?.kind !== "tool_call") return;
  const wish = `${client.name}-decides-${++world.counts.ids}`;
  if (call.needs === "client") {
    const result = { kind: "tool_result", outcome: "ok", output: wish, connectionId: client.name } as const;
    return tell(world, worker, { kind: "settle_call", wish, callId, event: result });
  }
  const verdict = number < 0.6 ? "approve" : number < 0.8 ? "reject" : "modify";
  const decision = {
    kind: "approval_decided",
    decisionId: wish,
    verdict,
    ...(verdict === "modify" && { input: { edited: true } }),
  } as const;
  tell(world, worker, { kind: "settle_call", wish, callId, event: decision });
}

/** The results of a turn's calls are the log's, each once, and the prompt has them all. */
export function checkSteps({ store }: World, worker: Worker, effect: Extract<Effect, { kind: "ask" }>): void {
  const { query: { queryId, turnId }, messages } = effect;
  const log = store.events.slice(0, worker.state.log.lastSeq);
  const calls = log.filter((event) => event.kind === "tool_call" && event.turnId === turnId);
  const told = messages.filter(({ role }) => role === "tool");
  check(told.length === calls.length, () => `${queryId}: ${told.length} results of ${calls.length} calls`);
  for (const call of calls) {
    if (call.kind !== "tool_call") continue;
    const of = toolEventsOf(log, call.callId);
    const result = of.find((event) => event.kind === "tool_result");
    const output = result?.kind === "tool_result" ? result.output : undefined;
    const decided = of.find((event) => event.kind === "approval_decided");
    const isDenied = decided?.kind === "approval_decided" && ["reject", "expired"].includes(decided.verdict);
    check(isDenied || output !== undefined, () => `${queryId} goes on without the result of ${call.callId}`);
    check(
      output === undefined || told.some(({ content }) => content.endsWith(output)),
      () => `${queryId} is not told the result of ${call.callId}`,
    );
  }
}

/** A tool whose end its worker was told of, and that the worker could write, has its result in the log. */
export function checkResults({ store, runs }: World): void {
  const answered = new Set(store.events.flatMap((event) => event.kind === "response" ? [event.turnId] : []));
  const ended = new Set(store.events.flatMap((event) => isTerminal(event) ? [event.turnId] : []));
  for (const event of store.events) {
    if (event.kind !== "tool_call") continue;
    const of = toolEventsOf(store.events, event.callId);
    const result = of.find(({ kind }) => kind === "tool_result");
    const wasStarted = of.some(({ kind }) => kind === "tool_started");
    check(
      !ended.has(event.turnId) || !wasStarted || result !== undefined,
      () => `${event.callId} was started, and its turn has ended without its result`,
    );
    if (!answered.has(event.turnId)) continue;
    const decided = of.find((other) => other.kind === "approval_decided");
    const isDenied = decided?.kind === "approval_decided" && ["reject", "expired"].includes(decided.verdict);
    check(
      (result !== undefined) !== isDenied,
      () => `${event.callId} has a result and was denied, or neither`,
    );
    const hasRun = (runs.get(event.callId) ?? 0) > 0;
    const isOk = result?.kind === "tool_result" && result.outcome === "ok";
    check(!isOk || hasRun || event.needs === "client", () => `${event.callId} has a result and never ran`);
  }
}

/** How many steps a query has in the log. */
export function stepsIn(events: readonly LogEvent[], queryId: string): number {
  return new Set(
    events.flatMap((event) => event.kind === "tool_call" && event.queryId === queryId ? [event.step] : []),
  )
    .size;
}

function toolEventsOf(events: readonly LogEvent[], callId: string): (LogEvent & ToolEvent)[] {
  return events.filter(isToolEvent).filter((event) => event.callId === callId);
}

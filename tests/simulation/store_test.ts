/** The simulated store behaves like the memory store for all writes. */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { LogWrite, StopRequest } from "../../supabase/functions/_shared/ports/event_log.ts";
import type { NewLogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { MemorySession } from "../../supabase/functions/_shared/session/memory_session.ts";
import { MemoryBudget } from "../../supabase/functions/_shared/guard/memory_budget.ts";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { commit, newStore, readLog } from "./store.ts";

const queryId = fc.constantFrom("q1", "q2", "q3");
/** A query that is asked at two workers has a turn at each; no turn is of two queries. */
const turn = fc.constantFrom(...["q1", "q2", "q3"].flatMap((queryId) => [
  { queryId, turnId: `${queryId}.a` },
  { queryId, turnId: `${queryId}.b` },
]));
const turnId = turn.map(({ turnId }) => turnId);
const event = fc.oneof(
  turn.map((ids) => ({ kind: "query" as const, ...ids })),
  turn.map((ids) => ({ kind: "response" as const, ...ids })),
  turn.map((ids) => ({ kind: "cancelled" as const, ...ids })),
  fc.record({ kind: fc.constant("configured" as const), configId: queryId }),
);
const which = fc.oneof(
  fc.constantFrom("running" as const, "waiting" as const, "all" as const),
  fc.record({ queryId }),
);
const write = fc.record({
  worker: fc.constantFrom("a", "b"),
  events: fc.array(event, { maxLength: 2 }),
  lease: fc.constantFrom("claim" as const, "release" as const, undefined),
  epoch: fc.constantFrom(undefined, undefined, 1, 2, 3),
  startedTurnId: fc.option(turnId, { nil: undefined }),
  checkpoint: fc.option(
    fc.record({ turnId, number: fc.constantFrom(1, 2), text: fc.constant("x") }),
    { nil: undefined },
  ),
  stop: fc.option(fc.record({ which, reason: fc.constant("cancelled" as const) }), { nil: undefined }),
  onlyIfIdle: fc.boolean(),
  passMs: fc.constantFrom(0, 100, 6000),
});

Deno.test("the simulated store and the memory store answer alike", () => {
  fc.assert(fc.property(fc.array(write, { maxLength: 12 }), (writes) => {
    const clock = new ManualClock();
    const memory = new MemorySession(
      { sessionId: "s", owner: { kind: "user", userId: "u" }, createdAt: 0 },
      { clock, maxEvents: 1000, maxChars: 1_000_000, leaseMs: 5000, memory: new MemoryBudget(0) },
    );
    const store = newStore(5000);
    writes.forEach(({ worker, passMs, ...drawn }, index) => {
      clock.advance(passMs);
      const made = toWrite(drawn);
      const answer = commit(store, worker, index + 1, made, clock.now());
      assert.ok(answer !== undefined);
      assert.deepEqual(plain(answer), plain(outcomeOf(() => memory.commit(made, worker))));
      const page = readLog(store, "a", 0, clock.now());
      assert.deepEqual(plain(page), plain(memory.read({ afterSeq: 0, limit: 500 }, "a")));
    });
  }));
});

Deno.test("a number that comes after a later one changes nothing", () => {
  const store = newStore(5000);
  commit(store, "a", 2, {}, 0);
  assert.equal(
    commit(store, "a", 1, { events: [toEvent({ kind: "query", queryId: "q1", turnId: "t1" })] }, 0),
    undefined,
  );
  assert.equal(store.events.length, 0);
});

function outcomeOf(work: () => unknown): unknown {
  try {
    return { committed: work() };
  } catch (thrown) {
    return { rejected: thrown instanceof AgentError ? thrown.code : thrown };
  }
}

type Drawn = Omit<typeof write extends fc.Arbitrary<infer T> ? T : never, "worker" | "passMs">;

function toWrite({ events, lease, epoch, startedTurnId, checkpoint, stop, onlyIfIdle }: Drawn): LogWrite {
  const any = { events: events.map(toEvent), ...(stop && { stop: stop as StopRequest }) };
  const started = startedTurnId === undefined ? {} : { startedTurnId };
  if (epoch !== undefined) {
    return {
      ...any,
      ...started,
      epoch,
      ...(lease === "release" && { lease }),
      ...(checkpoint && { checkpoint }),
    };
  }
  const guest = { ...any, ...(onlyIfIdle && { onlyIfIdle }) };
  return lease === "claim" ? { ...guest, ...started, lease } : guest;
}

function toEvent(drawn: Drawn["events"][number]): NewLogEvent {
  const query = {
    content: "?",
    options: {},
    priority: "normal",
    first: false,
    connectionId: "c",
    feedback: [],
  } as const;
  switch (drawn.kind) {
    case "query":
      return { ...drawn, ...query };
    case "response":
      return { ...drawn, content: "!", finishReason: "stop", model: "m" };
    case "cancelled":
      return { ...drawn, reason: "cancelled", partial: "" };
    case "configured":
      return { ...drawn, connectionId: "c", options: { temperature: 1 } };
  }
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

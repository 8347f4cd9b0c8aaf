/**
 * Compares the heap of a process with what a `MemoryBudget` counts. Prints one JSON object, in bytes:
 *
 *     deno run --v8-flags=--expose-gc tests/support/measure_memory.ts
 *
 * `overhead`: what one object of each kind costs in addition to its text (not with `--hostile`). `oneByte`, `twoBytes`:
 * 1,000 connections, each of which sends as many queries as it may.
 */

import type { Socket } from "../../supabase/functions/_shared/ports/runtime.ts";
import { parseConnectRequest } from "../../supabase/functions/_shared/protocol/connect_request.ts";
import type { Connection } from "../../supabase/functions/_shared/session/connection.ts";
import { foldEvents } from "../../supabase/functions/_shared/session/core/fold.ts";
import { emptyHistory, foldHistory } from "../../supabase/functions/_shared/session/core/history.ts";
import { newSession } from "../../supabase/functions/_shared/session/core/state.ts";
import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";
import { startAgent, type TestAgent, until } from "./agent_harness.ts";
import { CORE_SETTINGS } from "./core_session.ts";
import { query, response } from "./log_events.ts";
import { ManualClock, settle } from "./manual_clock.ts";

const COUNT = 20_000;
const MB = 1_000_000;

/** Discards everything that is sent to it. */
class DeafSocket implements Socket {
  bufferedAmount = 0;
  send(): void {}
  close(): void {}
}

function heapBytes(): number {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Cannot measure: run with --v8-flags=--expose-gc");
  gc();
  gc();
  return Deno.memoryUsage().heapUsed;
}

/** A string of `chars` characters that shares no memory with another. V8 stores one byte for each "x", two for each "ж". */
function textOf(chars: number, n: number, filling = "x"): string {
  return JSON.parse(JSON.stringify(String(n).padEnd(chars, filling)));
}

async function each(make: (n: number) => unknown | Promise<unknown>): Promise<number> {
  const kept: unknown[] = [];
  const before = heapBytes();
  for (let n = 0; n < COUNT; n++) kept.push(await make(n));
  await settle();
  const bytes = (heapBytes() - before) / kept.length;
  return Math.round(bytes);
}

function dial(agent: TestAgent): Connection {
  const request = parseConnectRequest(new URL("http://localhost/agent_websocket?stream=true"), new Headers());
  const connection = agent.server.connect(new DeafSocket(), { ...request, address: "192.0.2.1" });
  connection.opened();
  return connection;
}

async function overhead(): Promise<Record<string, number>> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxEvents: 2 * COUNT, maxChars: Infinity });
  await store.create({ sessionId: "s", owner: { kind: "user", userId: "ann" }, createdAt: 0 });
  const event = await each(async (n) => {
    await store.commit("s", { events: [{ ...query(crypto.randomUUID(), textOf(10, n)) }] });
  });
  // The turn has ended without an answer, so that the history does not hold the question as well.
  const state = newSession({ ...CORE_SETTINGS, maxHistory: 0, maxEvents: Infinity });
  const known = await each((n) => {
    const id = crypto.randomUUID();
    const events = [
      { ...query(id, textOf(10, n)), seq: 2 * n + 1, at: n },
      { ...response(id, ""), seq: 2 * n + 2, at: n },
    ];
    foldEvents({ state, now: 0, effects: [] }, events);
  });
  const history = emptyHistory(2 * COUNT);
  const message = await each((n) => {
    const id = crypto.randomUUID();
    foldHistory(history, { ...query(id, textOf(10, n)), seq: n, at: n });
    foldHistory(history, { ...response(id, textOf(10, -n)), seq: n, at: n });
  });
  const agent = startAgent({ maxSessions: 0, maxConnections: 0, maxConnectionsPerUser: 0 });
  let opened = 0;
  const both = await each(async () => {
    const connection = dial(agent);
    await until(() => connection.state !== "opening");
    agent.held.length = 0;
    if (++opened % 100 === 0) agent.logged.length = 0;
    return connection;
  });
  return { event, query: known, message: Math.round(message / 2), connectionWithSession: both };
}

/** 1,000 connections that each send as many queries as they may, up to what the worker accepts. */
async function hostile(limitBytes: number, filling: string): Promise<Record<string, number>> {
  const before = heapBytes();
  const agent = startAgent({ maxMemoryBytes: limitBytes, maxSessions: 0 });
  const connections: Connection[] = [];
  for (let n = 0; n < 1000; n++) connections.push(dial(agent));
  await until(() => connections.every(({ state }) => state !== "opening"));
  let mostBytes = 0;
  for (let round = 0; round < 21; round++) {
    for (const connection of connections) {
      connection.received(JSON.stringify({ type: "query", content: textOf(20_000, round, filling) }));
      mostBytes = Math.max(mostBytes, agent.memory.keptBytes);
    }
    await settle();
    agent.held.length = 0;
    agent.logged.length = 0;
  }
  return { kept: agent.memory.keptBytes, most: mostBytes, limit: limitBytes, heap: heapBytes() - before };
}

if (import.meta.main) {
  const measured = {
    ...(!Deno.args.includes("--hostile") && { overhead: await overhead() }),
    oneByte: await hostile(160 * MB, "x"),
    twoBytes: await hostile(160 * MB, "ж"),
  };
  // deno-lint-ignore no-console
  console.log(JSON.stringify(measured));
}

/**
 * What happens to activity events before the activity module is loaded, and before it is known whether there are
 * watchers.
 */

import assert from "node:assert/strict";
import { LiveActivity } from "../../../supabase/functions/agent_websocket/live_activity.ts";
import { createReaders } from "../../../supabase/functions/agent_websocket/lazy_modules.ts";
import {
  ANSWER_WITHIN_MS,
  LISTEN_WITHIN_MS,
  MAX_KEPT_EVENTS,
} from "../../../supabase/functions/_shared/activity/relayed_activity.ts";
import { parseConfig } from "../../../supabase/functions/_shared/config.ts";
import { Metrics } from "../../../supabase/functions/_shared/metrics.ts";
import type { RelayMessage } from "../../../supabase/functions/_shared/ports/relay.ts";
import { RELAY_MESSAGES } from "../../../supabase/functions/_shared/protocol/topics.ts";
import { CountedIds, until } from "../../support/agent_harness.ts";
import { ManualClock } from "../../support/manual_clock.ts";

const SESSION = { sessionId: "s", owner: { kind: "user", userId: "ann" } } as const;
const PROJECT = { SUPABASE_URL: "https://p.supabase.co", SUPABASE_SERVICE_ROLE_KEY: "k" };

class World {
  readonly clock = new ManualClock();
  /** Everything that went over the relay: by name, and for an event its kind. */
  readonly relayed: string[] = [];
  readonly #workers = new Map<string, LiveActivity>();

  /** Starts a worker. The others cannot reach it before it has joined. */
  start(workerId: string, env: Readonly<Record<string, string>> = PROJECT): LiveActivity {
    return new LiveActivity(parseConfig({ AUTH_MODE: "none", OPENROUTER_API_KEY: "k", ...env }), {
      clock: this.clock,
      ids: new CountedIds(),
      log: { write: () => {} },
      metrics: new Metrics(),
      relay: { ring: (_topic, message) => this.#ring(message) },
      workerId,
      readers: createReaders(),
      count: () => ({ sessions: 0, runningTurns: 0 }),
      onWatched: () => {},
    });
  }

  /** From now on, the worker receives what is relayed, including its own messages. */
  join(workerId: string, worker: LiveActivity): void {
    this.#workers.set(workerId, worker);
    worker.joined();
  }

  #ring({ event, payload }: RelayMessage): void {
    const json = JSON.stringify(payload);
    this.relayed.push(/"event":"(\w+)"/.exec(json)?.[1] ?? event);
    for (const worker of this.#workers.values()) {
      queueMicrotask(() => void worker.receive(event, JSON.parse(json)));
    }
  }
}

interface Watching {
  /** The kinds of session events that it was shown, with their times. */
  seen: { kind: string; timestamp: string }[];
  close(): void;
}

/** A watcher that sees everything. */
async function watch(worker: LiveActivity): Promise<Watching> {
  const seen: Watching["seen"] = [];
  const hub = await worker.hub();
  const client = hub.connect({
    bufferedAmount: 0,
    send(text): void {
      const { type, timestamp, data } = JSON.parse(text);
      if (type === "session_event") seen.push({ kind: data.event, timestamp });
    },
    close: () => {},
  }, { sees: "all" });
  client.opened();
  return { seen, close: () => client.lost(1000) };
}

Deno.test("[AC25] what is told right after another worker said that it is watched goes there, though nothing was loaded", () => {
  const world = new World();
  const live = world.start("a");
  live.reporter.session(SESSION, "created");
  assert.equal(live.isWatched, false);
  assert.equal(live.receive("session_call", {}), false);
  assert.equal(live.receive(RELAY_MESSAGES.activityWatched, { from: "b" }), true);
  assert.equal(live.isWatched, true);
  live.reporter.session(SESSION, "updated");
  assert.deepEqual([world.relayed, live.countWatchers()], [["updated"], 0]);
});

Deno.test("[AC25] a worker that hears only itself is watched by nobody", async () => {
  const world = new World();
  const live = world.start("a");
  live.receive(RELAY_MESSAGES.activityWatched, { from: "a" });
  assert.equal(live.isWatched, false);
  const hub = await live.hub();
  assert.equal(hub.isWatched, false);
  live.close();
});

Deno.test("[AC25] a newcomer's first turn is shown at another worker from its first event on, each once and with its time", async () => {
  const world = new World();
  const a = world.start("a");
  world.join("a", a);
  const watching = await watch(a);
  world.clock.advance(1000);
  const b = world.start("b");
  b.joining();
  assert.equal(b.isWatched, true);
  const at = world.clock.now();
  b.reporter.session(SESSION, "created");
  world.clock.advance(700);
  b.reporter.session(SESSION, "updated");
  world.join("b", b);
  await until(() => watching.seen.length === 2);
  b.reporter.session(SESSION, "deleted");
  await until(() => watching.seen.length === 3);
  const time = (ms: number): string => new Date(at + ms).toISOString();
  assert.deepEqual(watching.seen, [
    { kind: "created", timestamp: time(0) },
    { kind: "updated", timestamp: time(700) },
    { kind: "deleted", timestamp: time(700) },
  ]);
  // While the worker is believed to be watched, a second join does not duplicate anything.
  b.joining();
  b.reporter.session(SESSION, "updated");
  b.joined();
  await until(() => watching.seen.length >= 4);
  assert.equal(watching.seen.length, 4);
  watching.close();
  a.close();
});

Deno.test("[AC13] [AC25] where nobody answers, what was kept is dropped, and telling costs nothing again", async () => {
  const world = new World();
  const a = world.start("a");
  world.join("a", a);
  const b = world.start("b");
  b.joining();
  b.reporter.session(SESSION, "created");
  world.join("b", b);
  b.reporter.session(SESSION, "updated");
  world.clock.advance(ANSWER_WITHIN_MS);
  assert.equal(b.isWatched, false);
  assert.deepEqual(world.relayed, ["activity_asked", "activity_asked"]);
  assert.equal(world.clock.pending, 0);
  // A watcher that comes later gets no earlier events.
  const watching = await watch(a);
  await until(() => b.isWatched);
  b.reporter.session(SESSION, "deleted");
  await until(() => watching.seen.length > 0);
  assert.deepEqual(watching.seen.map(({ kind }) => kind), ["deleted"]);
  watching.close();
  a.close();
});

Deno.test("[AC25] a worker that cannot listen keeps what it tells for ten seconds, and 200 events at most", () => {
  const world = new World();
  const b = world.start("b");
  b.joining();
  for (let n = 0; n < MAX_KEPT_EVENTS; n++) b.reporter.session(SESSION, "created");
  b.reporter.session(SESSION, "deleted");
  b.receive(RELAY_MESSAGES.activityWatched, { from: "a" });
  assert.deepEqual(new Set(world.relayed), new Set(["created"]));
  assert.equal(world.relayed.length, MAX_KEPT_EVENTS);
  const c = world.start("c");
  c.joining();
  world.clock.advance(LISTEN_WITHIN_MS);
  assert.equal(c.isWatched, false);
});

Deno.test("[AC25] a worker that is alone keeps nothing and asks nobody", () => {
  const world = new World();
  for (const env of [{}, { ...PROJECT, RELAY: "off" }]) {
    const alone = world.start("a", env);
    alone.joining();
    alone.joined();
    assert.equal(alone.isWatched, false);
  }
  assert.deepEqual(world.relayed, []);
});

Deno.test("[AC25] who is asked answers only if somebody watches, and loads nothing for it", async () => {
  const world = new World();
  const a = world.start("a");
  a.receive(RELAY_MESSAGES.activityAsked, { from: "b" });
  a.receive(RELAY_MESSAGES.activity, { from: "b", event: {} });
  assert.deepEqual([world.relayed, a.isWatched], [[], false]);
  const watching = await watch(a);
  a.receive(RELAY_MESSAGES.activityAsked, { from: "b" });
  a.receive(RELAY_MESSAGES.activityAsked, { from: "a" });
  assert.deepEqual(world.relayed, ["activity_watched", "activity_watched"]);
  world.clock.advance(5000);
  assert.equal(world.relayed.length, 3);
  watching.close();
  world.clock.advance(60_000);
  assert.equal(world.relayed.length, 3);
  a.close();
});

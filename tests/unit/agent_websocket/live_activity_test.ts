/** What becomes of what the agent tells before anything that shows it is loaded. */

import assert from "node:assert/strict";
import { LiveActivity } from "../../../supabase/functions/agent_websocket/live_activity.ts";
import { createReaders } from "../../../supabase/functions/agent_websocket/loaded_later.ts";
import { parseConfig } from "../../../supabase/functions/_shared/config.ts";
import { Metrics } from "../../../supabase/functions/_shared/metrics.ts";
import { InProcessRelay } from "../../../supabase/functions/_shared/notify/in_process_relay.ts";
import { EVERYONE_TOPIC, RELAY_MESSAGES } from "../../../supabase/functions/_shared/protocol/topics.ts";
import { CountedIds, until } from "../../support/agent_harness.ts";
import { ManualClock } from "../../support/manual_clock.ts";

const SESSION = { sessionId: "s", owner: { kind: "user", userId: "ann" } } as const;

function start(): { live: LiveActivity; relayed: string[]; watched: boolean[] } {
  const relay = new InProcessRelay();
  const relayed: string[] = [];
  const watched: boolean[] = [];
  relay.subscribe(EVERYONE_TOPIC, {
    onMessage: ({ event, payload }) => relayed.push(`${event} ${JSON.stringify(payload)}`),
    onGap: () => {},
  });
  const live = new LiveActivity(parseConfig({ AUTH_MODE: "none", OPENROUTER_API_KEY: "k" }), {
    clock: new ManualClock(),
    ids: new CountedIds(),
    log: { write: () => {} },
    metrics: new Metrics(),
    relay,
    workerId: "a",
    readers: createReaders(),
    count: () => ({ sessions: 0, runningTurns: 0 }),
    onWatched: (isWatched) => watched.push(isWatched),
  });
  return { live, relayed, watched };
}

Deno.test("[AC25] what is told right after another worker said that it is watched goes there, though nothing was loaded", async () => {
  const { live, relayed, watched } = start();
  live.reporter.session(SESSION, "created");
  assert.equal(live.isWatched, false);
  assert.equal(live.receive("session_call", {}), false);
  assert.equal(live.receive(RELAY_MESSAGES.activityWatched, { from: "b" }), true);
  assert.equal(live.isWatched, true);
  live.reporter.session(SESSION, "updated");
  await until(() => relayed.length > 0);
  assert.deepEqual(relayed.map((text) => /"event":"(\w+)"/.exec(text)?.[1]), ["updated"]);
  assert.deepEqual([live.countWatchers(), watched], [0, []]);
});

Deno.test("[AC25] a worker that hears only itself is watched by nobody", async () => {
  const { live } = start();
  live.receive(RELAY_MESSAGES.activityWatched, { from: "a" });
  await until(() => !live.isWatched);
  const hub = await live.hub();
  assert.equal(hub.isWatched, false);
  live.close();
});

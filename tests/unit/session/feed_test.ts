/** The feed by itself, over a log in memory. */

import assert from "node:assert/strict";
import { AgentActivity } from "../../../supabase/functions/_shared/activity/agent_activity.ts";
import type { LogEvent } from "../../../supabase/functions/_shared/protocol/log_event.ts";
import { Feed } from "../../../supabase/functions/_shared/session/feed.ts";
import { MemoryStore } from "../../../supabase/functions/_shared/session/memory_store.ts";
import { Tenure } from "../../../supabase/functions/_shared/session/tenure.ts";
import { startAgent } from "../../support/agent_harness.ts";
import { query } from "../../support/log_events.ts";
import { ManualClock } from "../../support/manual_clock.ts";

async function startFeed(hooks: { onEvent?(event: LogEvent): void; onSettled?(): void } = {}): Promise<
  { feed: Feed; append(id: string): Promise<unknown> }
> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxEvents: 100 });
  const record = { sessionId: "s", owner: { kind: "user", userId: "ann" }, createdAt: 0 } as const;
  await store.create(record);
  const none = (): void => {};
  const feed = new Feed({
    record,
    lastSeq: 0,
    activity: new AgentActivity({ isWatched: false, broadcast: none }, clock),
    eventLog: store,
    tenure: new Tenure(clock),
    onInDoubt: none,
    onAnswer: none,
    onEvent: hooks.onEvent ?? none,
    onSettled: hooks.onSettled ?? none,
    onAppended: none,
    renderForAsker: () => assert.fail(),
    onLive: none,
  });
  return { feed, append: (id) => store.commit("s", { events: [query(id)] }) };
}

Deno.test("[SQ2] Feed: a call that comes as the last page has been shown is not answered without its event", async () => {
  let seen: Promise<number> | undefined;
  const { feed, append } = await startFeed({
    onSettled: () => {
      if (seen !== undefined) return;
      // Nothing is waited for: the store in memory has it at once.
      void append("2");
      seen = feed.catchUp(2).then(() => feed.lastSeq);
    },
  });
  await append("1");
  await feed.catchUp(1);
  assert.equal(await seen, 2);
});

Deno.test("[SQ2] Feed: an event is shown also where what it leads to fails", async () => {
  const { connection } = await startAgent().connect();
  const { feed, append } = await startFeed({
    onEvent: () => {
      throw new Error("a fault of ours");
    },
  });
  connection.isLive = true;
  connection.cursor = 0;
  feed.connections.add(connection);
  await append("1");
  await assert.rejects(feed.catchUp(1), /a fault of ours/);
  assert.equal(connection.cursor, 1);
});

/** The activity events that a real session emits while it is watched. */

import assert from "node:assert/strict";
import { AgentActivity } from "../../../supabase/functions/_shared/activity/agent_activity.ts";
import type { ActivityEvent } from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { startAgent, type TestAgent } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";

interface Told {
  event: ActivityEvent;
  userId: string | undefined;
}

function watchedAgent(): TestAgent & { told: Told[] } {
  const told: Told[] = [];
  const sink = {
    isWatched: true,
    broadcast: (event: ActivityEvent, owner: { userId?: string | undefined } = {}): void =>
      void told.push({ event, userId: owner.userId }),
  };
  const agent = startAgent({ makeActivity: (clock) => new AgentActivity(sink, clock) });
  return { ...agent, told };
}

const stagesOf = (told: readonly Told[]): unknown[] =>
  told.flatMap(({ event: { type, data } }) =>
    type === "reasoning_update" && "stage" in data ? [data.stage] : []
  );

Deno.test("[AC17] [AC18] [AC19] a session, its turns and its memory are told of, and whose they are", async () => {
  const agent = watchedAgent();
  agent.verifier.admit("ann's", "ann");
  const client = await agent.connect("jwt=ann's");
  client.ask("one");
  client.ask("two");
  await settle();
  agent.model.last.say("words");
  agent.model.last.finish();
  await settle();
  client.command("cancel");
  await settle();
  client.command("configure", { temperature: 0 });
  client.command("clear");
  await settle();
  client.command("delete");
  await settle();
  assert.deepEqual(stagesOf(agent.told), [
    "queued",
    "thinking",
    "queued",
    "streaming",
    "completed",
    "thinking",
    "cancelled",
  ]);
  const sessions = agent.told.flatMap(({ event: { data } }) =>
    "event" in data && "sessionId" in data ? [data.event] : []
  );
  assert.deepEqual(sessions, ["created", "updated", "updated", "deleted"]);
  const memory = agent.told.flatMap(({ event: { data } }) =>
    "operation" in data ? [`${data.operation} ${data.sector}`] : []
  );
  assert.deepEqual(memory.filter((what) => what.startsWith("recall")).length, 2);
  assert.deepEqual(memory.filter((what) => what === "store log").length, 5);
  assert.deepEqual(memory.filter((what) => what.startsWith("delete")), ["delete history", "delete session"]);
  assert.ok(agent.told.every(({ userId }) => userId === "ann"));
});

Deno.test("[AC17] a failed turn and an interrupted one are told of as such", async () => {
  const agent = watchedAgent();
  const client = await agent.connect();
  agent.model.onCall = () => {
    throw new Error("bug");
  };
  client.ask("one");
  await settle();
  agent.model.onCall = undefined;
  client.ask("two");
  await settle();
  const drained = agent.server.drain("test");
  agent.clock.advance(10_000);
  await settle();
  client.vanish();
  await drained;
  assert.deepEqual(stagesOf(agent.told), [
    "queued",
    "thinking",
    "failed",
    "queued",
    "thinking",
    "interrupted",
  ]);
});

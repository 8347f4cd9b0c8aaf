import assert from "node:assert/strict";
import { activityEvent } from "../../../supabase/functions/_shared/protocol/activity_events.ts";
import { parsePublishedActivity } from "../../../supabase/functions/_shared/protocol/published_activity.ts";

const AT = 1_735_689_600_000;
const GOOD: [type: string, data: Record<string, unknown>][] = [
  ["memory_operation", { operation: "search", userId: "ann", success: true, duration: 3 }],
  ["reasoning_update", { sessionId: "s", stage: "planning", progress: 0.5, activeStreams: ["a"], mode: "m" }],
  ["load_change", {
    loadLevel: 0.5,
    activeProcesses: 1,
    memoryOpsPerSecond: 0.5,
    reasoningSessions: 2,
    visualIntensity: "medium",
  }],
  ["session_event", { event: "updated", sessionId: "s" }],
  ["system_event", { event: "config_change", status: "ok", message: "m" }],
];

Deno.test("[AC22] what another function posts becomes an event, stamped where it has no time", () => {
  for (const [type, data] of GOOD) {
    const parsed = parsePublishedActivity({ type, data, more: 1 }, AT);
    assert.ok("event" in parsed);
    assert.deepEqual(parsed.event, { type, data, timestamp: "2025-01-01T00:00:00.000Z" });
    assert.ok(activityEvent.safeParse(parsed.event).success);
  }
  const timestamp = "2020-02-03T04:05:06Z";
  const [[type, data] = []] = GOOD;
  const parsed = parsePublishedActivity({ type, data, timestamp }, AT);
  assert.ok("event" in parsed);
  assert.equal(parsed.event.timestamp, timestamp);
});

Deno.test("[AC22] whose it is says user_id, else its data", () => {
  const session = { type: "session_event", data: { event: "created", sessionId: "s", userId: "ann" } };
  const owner = (activity: unknown): unknown => {
    const parsed = parsePublishedActivity(activity, AT);
    assert.ok("event" in parsed);
    assert.ok(!("user_id" in parsed.event));
    return parsed.userId;
  };
  assert.equal(owner(session), "ann");
  assert.equal(owner({ ...session, user_id: "bob" }), "bob");
  assert.equal(owner({ ...session, user_id: "anonymous" }), undefined);
  assert.equal(owner({ type: "system_event", data: { event: "startup" } }), undefined);
  assert.equal(
    owner({ type: "reasoning_update", data: { sessionId: "s", stage: "x", progress: 1 }, user_id: "ann" }),
    "ann",
  );
});

Deno.test("[AC22] what is no event is refused by the field", () => {
  const bad: [activity: unknown, field: string][] = [
    [undefined, "activity"],
    ["text", "activity"],
    [[], "activity"],
    [{}, "activity.type"],
    [{ type: "heartbeat", data: { message: "pong" } }, "activity.type"],
    [{ type: "connection_established", data: { message: "Connected as root" } }, "activity.type"],
    [{ type: "session_event" }, "activity.data"],
    [{ type: "session_event", data: { event: "exploded", sessionId: "s" } }, "activity.data.event"],
    [{ type: "session_event", data: { event: "created" } }, "activity.data.sessionId"],
    [
      { type: "reasoning_update", data: { sessionId: "s", stage: "x", progress: 2 } },
      "activity.data.progress",
    ],
    [{
      type: "memory_operation",
      data: { operation: "store", userId: "a", success: "yes" },
    }, "activity.data.success"],
    [
      { type: "system_event", data: { event: "startup" }, timestamp: "yesterday" },
      "activity.timestamp",
    ],
    [{ type: "system_event", data: { event: "startup" }, user_id: "" }, "activity.user_id"],
  ];
  for (const [activity, field] of bad) {
    const parsed = parsePublishedActivity(activity, AT);
    assert.ok("problem" in parsed, JSON.stringify(activity));
    assert.equal(parsed.problem.field, field, JSON.stringify(activity));
    assert.match(parsed.problem.expected, /^must /, JSON.stringify(activity));
  }
});

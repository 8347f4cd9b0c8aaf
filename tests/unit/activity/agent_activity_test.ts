import assert from "node:assert/strict";
import { AgentActivity } from "../../../supabase/functions/_shared/activity/agent_activity.ts";
import type { ReportedSession, TurnStage } from "../../../supabase/functions/_shared/activity/reporter.ts";
import { settle } from "../../support/manual_clock.ts";
import { startHub, type TestHub, type TestWatcher } from "./watching.ts";

const ANN: ReportedSession = { sessionId: "s1", owner: { kind: "user", userId: "ann" } };
const NOBODY: ReportedSession = { sessionId: "s2", owner: { kind: "anonymous", tokenHash: "0" } };

function startActivity(): TestHub & { activity: AgentActivity; watcher: TestWatcher } {
  const all = startHub();
  return { ...all, activity: new AgentActivity(all.hub, all.clock), watcher: all.watch() };
}

function turnOf(turnId: string): { query: { turnId: string }; text: string } {
  return { query: { turnId }, text: "" };
}

Deno.test("[AC17] a turn is told of stage by stage", () => {
  const { activity, watcher } = startActivity();
  const turn = turnOf("t1");
  activity.reasoning(ANN, turn, "queued");
  activity.reasoning(ANN, turn, "thinking");
  activity.streaming(ANN, turn, 100);
  activity.reasoning(ANN, turn, "completed");
  assert.deepEqual(watcher.heard.map(({ type, data }) => ({ type, ...data })), [
    { type: "reasoning_update", sessionId: "s1", stage: "queued", progress: 0, activeStreams: ["t1"] },
    { type: "reasoning_update", sessionId: "s1", stage: "thinking", progress: 0.1, activeStreams: ["t1"] },
    { type: "reasoning_update", sessionId: "s1", stage: "streaming", progress: 0.1, activeStreams: ["t1"] },
    { type: "reasoning_update", sessionId: "s1", stage: "completed", progress: 1, activeStreams: ["t1"] },
  ]);
  const ends: TurnStage[] = ["cancelled", "failed", "interrupted"];
  for (const stage of ends) activity.reasoning(ANN, turnOf("t2"), stage);
  assert.deepEqual(watcher.heard.slice(4).map(({ data }) => [data?.stage, data?.progress]), [
    ["cancelled", 1],
    ["failed", 1],
    ["interrupted", 1],
  ]);
});

Deno.test("[AC17] streaming is told at most each 250 ms a turn, and its progress grows and stays below 1", () => {
  const { activity, watcher, clock } = startActivity();
  const [one, two] = [turnOf("t1"), turnOf("t2")];
  for (let ms = 0; ms < 1000; ms += 10) {
    one.text += "x".repeat(10);
    two.text += "x";
    activity.streaming(ANN, one, 100);
    activity.streaming(ANN, two, 100);
    clock.advance(10);
  }
  const of = (turnId: string): unknown[] =>
    watcher.heard.flatMap(({ data }) => String(data?.activeStreams) === turnId ? [data?.progress] : []);
  const progress = of("t1") as number[];
  assert.deepEqual([progress.length, of("t2").length], [4, 4]);
  assert.ok(progress.every((value, index) => value >= (progress[index - 1] ?? 0.1)));
  assert.equal(progress.at(-1), 0.99, "more text than was expected is not more than that");
  one.text = "";
  activity.streaming(ANN, one, 100);
  assert.equal(of("t1").at(-1), 0.99, "it never falls");
});

Deno.test("[AC18] memory operations tell how they went and how long they took", async () => {
  const { activity, watcher, clock } = startActivity();
  activity.memory(ANN, { operation: "recall", sector: "history" }, { success: true, durationMs: 2 });
  const { promise, resolve } = Promise.withResolvers<string>();
  const working = activity.timed(NOBODY, { operation: "store", sector: "log" }, () => promise);
  assert.equal(working, promise, "the caller waits for no more than before");
  clock.advance(7);
  resolve("done");
  assert.equal(await working, "done");
  const failing = activity.timed(
    ANN,
    { operation: "delete", sector: "session" },
    () => Promise.reject(new Error("x")),
  );
  await assert.rejects(failing, /x/);
  await settle();
  assert.deepEqual(watcher.heard.map(({ data }) => data), [
    {
      operation: "recall",
      memoryId: "s1",
      userId: "ann",
      sector: "history",
      success: true,
      duration: 2,
    },
    {
      operation: "store",
      memoryId: "s2",
      userId: "anonymous",
      sector: "log",
      success: true,
      duration: 7,
    },
    {
      operation: "delete",
      memoryId: "s1",
      userId: "ann",
      sector: "session",
      success: false,
      duration: 0,
    },
  ]);
  assert.equal(activity.commits, 1, "neither reading nor failing commits");
});

Deno.test("[AC10] [AC19] sessions are told of, and an anonymous one's user is anonymous", () => {
  const { activity, watcher } = startActivity();
  activity.session(ANN, "created");
  activity.session(NOBODY, "updated");
  activity.session(NOBODY, "deleted");
  assert.deepEqual(watcher.heard.map(({ data }) => data), [
    { event: "created", sessionId: "s1", userId: "ann" },
    { event: "updated", sessionId: "s2", userId: "anonymous" },
    { event: "deleted", sessionId: "s2", userId: "anonymous" },
  ]);
});

Deno.test("[AC21] the system is told of, with its status where there is one", () => {
  const { activity, watcher } = startActivity();
  activity.system("startup");
  activity.system("health_change", { status: "draining", message: "relay" });
  assert.deepEqual(watcher.heard.map(({ data }) => data), [
    { event: "startup" },
    { event: "health_change", status: "draining", message: "relay" },
  ]);
});

Deno.test("[AC9] [AC10] a user is told of what is hers, and of nobody else's and no anonymous session", () => {
  const { activity, watch } = startActivity();
  const [ann, bob, anonymous] = [
    watch({ userId: "ann" }),
    watch({ userId: "bob" }),
    watch({ userId: "anonymous" }),
  ];
  for (const session of [ANN, NOBODY]) {
    activity.session(session, "created");
    activity.reasoning(session, turnOf("t"), "thinking");
    activity.streaming(session, turnOf("t"), 10);
    activity.memory(session, { operation: "store", sector: "log" }, { success: true, durationMs: 0 });
  }
  activity.system("startup");
  assert.deepEqual([ann.heard.length, bob.heard.length, anonymous.heard.length], [4, 0, 0]);
});

Deno.test("[AC13] where nobody watches nothing is made, and no time is read", async () => {
  const sink = { isWatched: false, broadcast: (): void => assert.fail("nobody watches") };
  const clock = { now: (): number => assert.fail("nobody asked") };
  const activity = new AgentActivity(sink, clock);
  const turn = turnOf("t");
  activity.session(ANN, "created");
  activity.reasoning(ANN, turn, "thinking");
  activity.streaming(ANN, turn, 10);
  activity.memory(ANN, { operation: "recall", sector: "history" }, { success: true, durationMs: 1 });
  activity.system("startup");
  assert.equal(await activity.timed(ANN, { operation: "store", sector: "log" }, () => Promise.resolve(1)), 1);
});

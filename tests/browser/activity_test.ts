/** The live activity next to the conversation. */

import assert from "node:assert/strict";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack } from "../support/local_stack.ts";
import { PATIENCE_MS, withPlayground } from "../support/playground.ts";

async function emit({ url }: TestStack, type: string, data: Record<string, unknown>): Promise<void> {
  const body = JSON.stringify({ type, data });
  const response = await fetch(`${url}/__local/activity/emit`, { method: "POST", body });
  await response.body?.cancel();
  assert.equal(response.status, 200);
}

Deno.test("activity: turns of everybody are shown as they progress, with the load and the rate of the text", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page, open, stack }) => {
    const { page: tab } = page;
    await page.isWatching();
    const row = tab.locator("#turns li");
    // Another visitor: not our session, but the pass shows the visitor's turn too.
    const visitor = await open();
    await visitor.is("open");
    await visitor.ask("Work");
    const answer = await model.next();
    answer.say("word ".repeat(100));
    await page.says(row, "streaming", () => row.getAttribute("data-stage"));
    const bar = row.getByRole("progressbar");
    assert.ok(Number(await bar.getAttribute("value")) > 0.1);
    await page.says(tab.locator("#figures dd").first(), "1");
    assert.match(
      await tab.locator("#load-words, #load-meter").getAttribute("aria-valuetext") ?? "",
      /^low, 3 %$/,
    );
    await visitor.says(visitor.page.locator("#rate-words"), /at most 500 in the last minute/);
    answer.finish();
    await page.says(row, "completed", () => row.getAttribute("data-stage"));

    for (const [visualIntensity, loadLevel] of [["high", 0.9], ["medium", 0.5]] as const) {
      const load = {
        loadLevel,
        activeProcesses: 20,
        memoryOpsPerSecond: 9,
        reasoningSessions: 5,
        visualIntensity,
      };
      await emit(stack, "load_change", load);
      await page.says(tab.locator("#load-intensity"), visualIntensity);
      assert.equal(await tab.locator("#load").getAttribute("data-intensity"), visualIntensity);
      assert.equal(await tab.locator("#load-meter").getAttribute("aria-valuenow"), String(loadLevel * 100));
      if (visualIntensity === "high") await page.screenshot("activity-high");
    }
  });
});

Deno.test("activity: events are subscribed to by type, and the list can be paused", async () => {
  await withPlayground({}, async ({ page, stack }) => {
    const { page: tab } = page;
    await page.isWatching();
    const events = tab.locator("#events");
    const of = (type: string): Promise<number> => events.locator(`[data-type=${type}]`).count();
    const health = (message: string): Promise<void> =>
      emit(stack, "system_event", { event: "health_change", message });
    const stored = (memoryId: string): Promise<void> =>
      emit(stack, "memory_operation", { operation: "store", userId: "anonymous", success: true, memoryId });
    await health("one");
    await page.says(events, /health_change one/);

    const frames: string[] = [];
    tab.on(
      "websocket",
      (socket) => socket.on("framesent", ({ payload }) => void frames.push(String(payload))),
    );
    await tab.reload();
    await page.isWatching();
    await tab.getByLabel("system_event").uncheck();
    await eventually(
      "the unsubscribe frame",
      () => frames.some((frame) => frame === '{"action":"unsubscribe","types":["system_event"]}'),
      PATIENCE_MS,
    );
    const before = await of("system_event");
    await health("two");
    await stored("memory-1");
    await page.says(events, /store memory-1/);
    assert.equal(await of("system_event"), before);
    for (const type of ["memory_operation", "reasoning_update", "session_event", "load_change"]) {
      await tab.getByLabel(type).uncheck();
    }
    // An empty list of types means all types to the agent, but the page must show none.
    await stored("memory-2");
    await tab.getByLabel("system_event").check();
    await health("three");
    await page.says(events, /health_change three/);
    await stored("memory-3");
    await health("four");
    await page.says(events, /health_change four/);
    assert.doesNotMatch(await events.innerText(), /two|memory-2|memory-3/);

    await tab.getByRole("button", { name: "Pause" }).click();
    await health("five");
    await tab.waitForTimeout(300);
    assert.doesNotMatch(await events.innerText(), /five/);
    await tab.getByRole("button", { name: "Go on" }).click();
    await page.says(events, /five/);
  });
});

/** The findings of axe in every theme and state of the page, and the screenshots that CI keeps. */

import assert from "node:assert/strict";
import { findings } from "../support/axe.ts";
import { HandModel } from "../support/hand_model.ts";
import { withPlayground } from "../support/playground.ts";

Deno.test("accessibility: axe has nothing serious to say, in light and dark, wide and narrow, idle, busy, cut, searched and edited", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    const { page: tab } = page;
    await page.is("open");
    await page.isWatching();
    for (const summary of ["Stack"]) await tab.getByText(summary, { exact: true }).click();
    const done = await page.ask("What can you do?");
    const first = await model.next();
    first.say("# Things\n\nI can *write*, **stress** and `quote`:\n\n```\ncode\n```\n\n- lists\n- of things");
    first.finish();
    await page.until(done, "completed");
    await done.getByRole("button", { name: "Modify…" }).click();
    const stopped = await page.ask("And this?");
    (await model.next()).say("Something that is ");
    await page.says(page.textOf(stopped), /Something/);
    await page.question.press("Escape");
    await page.until(stopped, "cancelled");
    await done.getByRole("button", { name: "Edit: What can you do?" }).click();
    const failing = await page.ask("Fail");
    const broken = await model.next();
    broken.say("It breaks");
    await page.says(page.textOf(failing), /breaks/);
    broken.breakOff();
    await page.until(failing, "failed");
    const running = await page.ask("Tell me a long story");
    const story = await model.next();
    story.think("A story needs a beginning.");
    await running.getByText("Thinking…").click();
    story.say("Once upon a time ");
    await page.until(running, "running");
    await page.until(await page.ask("Then this"), "queued");
    await tab.getByRole("button", { name: "Cut my connection" }).click();
    await page.is("reconnecting");
    await page.is("open");
    await page.says(page.verdict, /^Resumed/);

    await tab.getByRole("button", { name: "Actions:" }).click();
    await tab.getByLabel("Search conversations").fill("what");
    await page.says(tab.locator("#conversations-note"), "1 found.");
    const panel = tab.locator("#conversations-panel");

    for (const colorScheme of ["light", "dark"] as const) {
      for (const [size, width] of [["wide", 1440], ["medium", 1000], ["narrow", 390]] as const) {
        await tab.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await tab.setViewportSize({ width, height: 900 });
        // Where there is room for it, the list is open.
        await panel.and(tab.locator(size === "wide" ? "[open]" : ":not([open])")).waitFor();
        await page.screenshot(`${colorScheme}-${size}-conversation`);
        if (size !== "wide") await panel.locator("summary").click();
        await page.screenshot(`${colorScheme}-${size}`);
        assert.deepEqual(await findings(page), [], `${colorScheme}, ${size}`);
        if (size !== "wide") await panel.locator("summary").click();
      }
    }
    // A stopping stack waits for running turns.
    await tab.getByRole("button", { name: "Cancel all" }).click();
    await page.until(running, "cancelled");
  });
});

Deno.test("accessibility: nothing moves where no motion is wanted", async () => {
  await using model = new HandModel();
  const options = { model: { baseUrl: model.baseUrl }, context: { reducedMotion: "reduce" } } as const;
  await withPlayground(options, async ({ page }) => {
    await page.is("open");
    const turn = await page.ask("Blink");
    const answer = await model.next();
    answer.say("No ");
    await page.says(page.textOf(turn), /No/);
    assert.equal(await page.page.evaluate("document.getAnimations().length"), 0);
    await page.page.emulateMedia({ reducedMotion: "no-preference" });
    await page.says(
      turn,
      /^[1-9]/,
      async () => String(await page.page.evaluate("document.getAnimations().length")),
    );
    answer.finish();
    await page.until(turn, "completed");
  });
});

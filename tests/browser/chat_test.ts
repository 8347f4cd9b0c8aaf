/** The conversation on the page: answers streamed, cancelled, queued and rated, also with the keyboard only. */

import assert from "node:assert/strict";
import { echo, HandModel } from "../support/hand_model.ts";
import { withPlayground } from "../support/playground.ts";

Deno.test("chat: an answer is shown as it is written, and stopped by button or Escape with what was written", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    await page.is("open");
    const first = await page.ask("One");
    const writing = await model.next();
    const reasoning = first.locator("details");
    assert.equal(await reasoning.isVisible(), false);
    writing.think("Is <b>one</b> a");
    const thoughts = first.getByText("Is <b>one</b> a");
    await first.getByText("Thinking…").waitFor();
    assert.equal(await thoughts.isVisible(), true, "it is open while the model thinks");
    writing.think(" number?");
    await page.says(reasoning.locator("p"), "Is <b>one</b> a number?");
    writing.say("Half an ");
    const summary = reasoning.locator("summary");
    await page.says(summary, "Reasoning");
    assert.equal(await thoughts.isVisible(), false, "it is folded when the answer begins");
    await summary.click();
    assert.equal(await thoughts.isVisible(), true);
    await page.says(page.textOf(first), /^Half an $/);
    assert.equal(await first.getAttribute("aria-busy"), "true");
    writing.say("answer");
    await page.says(page.textOf(first), "Half an answer");
    await page.page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.until(first, "cancelled");
    assert.equal(await page.textOf(first).textContent(), "Half an answer");
    assert.equal(await first.getByText("Is <b>one</b> a number?").isVisible(), true, "it stays");
    assert.equal(await first.getAttribute("aria-busy"), "false");

    const second = await page.ask("Two");
    const also = await model.next();
    also.think("Two is more");
    const touched = second.getByText("Thinking…");
    await touched.click();
    assert.equal(await second.getByText("Two is more").isVisible(), false);
    await touched.click();
    also.say("Also ");
    await page.says(page.textOf(second), /Also/);
    assert.equal(await second.getByText("Two is more").isVisible(), true, "it stays as the reader has it");
    await page.question.press("Escape");
    await page.until(second, "cancelled");

    const third = await page.ask("Three");
    const broken = await model.next();
    broken.say("Then the model ");
    await page.says(page.textOf(third), /Then the model/);
    broken.breakOff();
    await page.until(third, "failed");
    await page.says(third.locator(".problem").first(), /^Failed to generate response: .*model_stream_broken/);
  });
});

Deno.test("chat: questions wait by priority, are shown in the queue, and are taken back one by one", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    const { page: tab } = page;
    await page.is("open");
    const priority = tab.getByLabel("Priority");
    await page.ask("running");
    const running = await model.next();
    running.say("…");
    for (const lane of ["low", "normal", "high"]) {
      await priority.selectOption(lane);
      await page.until(await page.ask(`a ${lane} one`), "queued");
    }
    const rows = tab.locator("#queue li");
    await page.says(tab.locator("#queue-chip"), "1 running, 3 waiting");
    assert.deepEqual(await rows.locator(".ellipsis").allTextContents(), [
      "running",
      "a high one",
      "a normal one",
      "a low one",
    ]);
    await tab.getByRole("button", { name: "Cancel: a normal one" }).and(rows.locator("button")).click();
    await page.until(page.turns.nth(2), "cancelled");
    running.finish();
    await page.until(page.turns.nth(0), "completed");
    const next = await model.next();
    assert.equal(next.question, "a high one");
    await tab.getByRole("button", { name: "Cancel all" }).click();
    await page.until(page.turns.nth(3), "cancelled");
    await page.until(page.turns.nth(1), "cancelled");
    await page.says(tab.locator("#queue-chip"), "empty");
  });
});

Deno.test("chat: an answer is judged by thumbs, and a wish is put before the model with the next question", async () => {
  await using model = new HandModel({ respond: echo });
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    await page.is("open");
    const turn = await page.ask("Judge this");
    await page.until(turn, "completed");
    const good = turn.getByRole("button", { name: "Good answer" });
    await good.click();
    await page.says(good, "true", () => good.getAttribute("aria-pressed"));
    const bad = turn.getByRole("button", { name: "Bad answer" });
    await bad.click();
    await page.says(bad, "true", () => bad.getAttribute("aria-pressed"));
    assert.equal(await good.getAttribute("aria-pressed"), "false");
    await turn.getByRole("button", { name: "Modify…" }).click();
    await turn.getByLabel("What should be different?").fill("Speak like a lighthouse keeper");
    await turn.getByRole("button", { name: "Send comment" }).click();
    await page.says(turn.locator(".feedback [role=status]"), "Noted for your next question");
    await page.until(await page.ask("And now?"), "completed");
    const said = model.exchanges.at(-1)?.messages.map(({ content }) => content).join("\n") ?? "";
    assert.match(said, /Speak like a lighthouse keeper/);
  });
});

Deno.test("chat: everything is within reach of the keyboard", async () => {
  await using model = new HandModel({ respond: echo });
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    const { page: tab } = page;
    const { keyboard } = tab;
    const focused = (): Promise<string> =>
      tab.evaluate(
        "document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent",
      );
    await page.is("open");
    await keyboard.press("Tab");
    assert.equal(await focused(), "Skip to the question");
    await keyboard.press("Enter");
    await keyboard.type("First line");
    await keyboard.press("Shift+Enter");
    await keyboard.type("second line");
    await keyboard.press("Enter");
    const turn = page.turns.first();
    await page.until(turn, "completed");
    assert.equal(await turn.locator(".question").textContent(), "First line\nsecond line");
    assert.equal(await focused(), "question");
    // The last answer is announced once, as a whole.
    await page.says(tab.locator("#announcer"), "Answer: You said: First line\nsecond line");
    await keyboard.press("Shift+Tab");
    assert.equal(await focused(), "Modify…");
    await keyboard.press("Enter");
    await keyboard.type("shorter");
    await keyboard.press("Enter");
    await page.says(turn.locator(".feedback [role=status]"), "Noted for your next question");
    assert.equal(await focused(), "Modify…");
    // Tab goes through the whole page once, without a keyboard trap.
    const seen = new Set<string>();
    for (let step = 0; step < 80; step++) {
      await keyboard.press("Tab");
      const at = await focused();
      if (at === "Modify…" && seen.size > 10) break;
      seen.add(at);
    }
    for (
      const id of [
        "question",
        "priority",
        "policy",
        "send",
        "pause",
        "events",
        "email",
        "new-conversation",
        "search",
        "cut",
        "theme",
      ]
    ) {
      assert.ok(seen.has(id), `Tab never reaches #${id}: ${[...seen]}`);
    }
  });
});

/** The page itself: it loads without console messages, is fast, and never treats text as markup. */

import assert from "node:assert/strict";
import { HandModel } from "../support/hand_model.ts";
import { withPlayground } from "../support/playground.ts";

/** Issue 5: the time from the question to the first word of the first answer, in milliseconds. */
const FIRST_WORD_MS = 1000;

Deno.test("page: it loads without a word on the console or a request to another host, and answers within a second", async () => {
  await withPlayground({ model: "mock" }, async ({ page, open }) => {
    await page.is("open");
    await page.isWatching();
    // The machine may be busy, so the best of three attempts counts.
    const tries: number[] = [];
    for (let attempt = 0; attempt < 3 && Math.min(...tries, Infinity) > FIRST_WORD_MS; attempt++) {
      const visitor = await open();
      await visitor.is("open");
      const turn = await visitor.ask("Hello");
      await visitor.until(turn, "completed");
      await visitor.says(
        visitor.textOf(turn),
        "Hello! I am the mock model of your local stack. Ask me help for what I can do.",
      );
      tries.push(Number(await turn.getAttribute("data-first-word-ms")));
    }
    assert.ok(Math.min(...tries) > 0 && Math.min(...tries) <= FIRST_WORD_MS, `first words after ${tries} ms`);
  });
});

Deno.test("page: what the model writes is text, whatever it looks like; its Markdown is shown as such", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    await page.is("open");
    const turn = await page.ask("<b>Who</b> are you?");
    const exchange = await model.next();
    exchange.say("# Title\n\n<img src=x onerror=alert(1)> and **bold**, `code`\n\n1. one\n2. two\n\n");
    exchange.say("```html\n<script>alert(2)</script>\n```\n\n- [link](javascript:alert(3))");
    exchange.finish();
    await page.until(turn, "completed");
    const text = page.textOf(turn);
    assert.equal(await turn.locator("img, script, a, .question b").count(), 0);
    assert.equal(await turn.locator(".question").textContent(), "<b>Who</b> are you?");
    assert.equal(await text.locator("h3").textContent(), "Title");
    assert.equal(await text.locator("p").textContent(), "<img src=x onerror=alert(1)> and bold, code");
    assert.equal(await text.locator("ol > li").count(), 2);
    assert.equal(await text.locator("pre").textContent(), "<script>alert(2)</script>");
    assert.equal(await text.locator("ul > li").textContent(), "[link](javascript:alert(3))");
  });
});

Deno.test("page: it says what runs where, keeps the theme, and fits a phone without scrolling sideways", async () => {
  await withPlayground({}, async ({ page: { page, says }, stack }) => {
    await page.getByText("Stack", { exact: true }).click();
    const rows = await page.locator("#stack").innerText();
    for (
      const row of [
        "Function agent_websocket",
        "AUTH_MODE\noptional",
        stack.keys.publishableKey,
        "Model\nthe server at",
      ]
    ) {
      assert.ok(rows.includes(row), `${rows} has no ${row}`);
    }
    const curl = page.locator("#curl");
    await says(curl, /"session_id":"[0-9a-f-]{36}"/);
    assert.match(await page.locator("#wscat").innerText(), /^npx -y wscat -c "ws:/);

    const paper = (): Promise<string> => page.evaluate("getComputedStyle(document.body).backgroundColor");
    await page.emulateMedia({ colorScheme: "light" });
    const light = await paper();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await paper();
    assert.notEqual(dark, light);
    const toggle = page.getByRole("button", { name: "Theme:" });
    await toggle.click();
    assert.equal(await toggle.textContent(), "Theme: light");
    assert.equal(await paper(), light);
    await page.reload();
    assert.equal(await paper(), light);
    await toggle.click();
    await page.emulateMedia({ colorScheme: "light" });
    assert.equal(await paper(), dark);

    for (const width of [320, 390, 700, 1000]) {
      await page.setViewportSize({ width, height: 800 });
      const overflow: number = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width}`);
    }
    await page.setViewportSize({ width: 390, height: 800 });
    // One column: the question is in view, and the agent's activity is below.
    const boxes = await Promise.all(["#question", "#load"].map((id) => page.locator(id).boundingBox()));
    assert.ok((boxes[0]?.y ?? 0) + (boxes[0]?.height ?? 0) <= 800);
    assert.ok((boxes[1]?.y ?? 0) >= 600);
  });
});

/** Sign-up, sign-in and sign-out against Supabase Lite, and the list of a user's conversations. */

import assert from "node:assert/strict";
import { echo, HandModel } from "../support/hand_model.ts";
import { withPlayground } from "../support/playground.ts";

Deno.test("account: one signs up, finds one's conversations again after signing in anew, and watches one's own", async () => {
  await using model = new HandModel({ respond: echo });
  const env = { AUTH_MODE: "required" };
  // A wrong password is an HTTP error, which the browser logs on the console.
  const options = { model: { baseUrl: model.baseUrl }, lite: true, env, mayComplain: /status of 400/ };
  await withPlayground(options, async ({ page, open }) => {
    const { page: tab } = page;
    const problem = tab.locator("#account-problem");
    await page.says(problem, "This stack takes only users: sign in, or sign up.");
    await tab.getByLabel("Email").fill("ines@example.com");
    await tab.getByLabel("Password").fill("lighthouse");
    await tab.getByRole("button", { name: "Sign in" }).click();
    await page.says(problem, /invalid/i);
    await tab.getByRole("button", { name: "Sign up" }).click();
    await page.is("open");
    await page.says(tab.locator("#account-email"), "ines@example.com");
    assert.equal(await problem.textContent(), "");
    await page.until(await page.ask("In the first session"), "completed");

    const titles = tab.locator("#conversations .conversation-title");
    const list = async (): Promise<string> => (await titles.allTextContents()).join(" | ");
    await page.says(titles, "In the first session", list);
    await tab.getByRole("button", { name: "New conversation" }).click();
    await page.until(await page.ask("In the second session"), "completed");
    assert.equal(await page.turns.count(), 1);
    await page.says(titles, "In the second session | In the first session", list);
    await titles.nth(1).click();
    await page.says(page.turns.locator(".question"), "In the first session");
    await page.says(page.textOf(page.turns), "You said: In the first session");
    assert.equal(await page.turns.count(), 1);

    await tab.getByLabel("Only mine").check();
    await page.isWatching();
    const stage = tab.locator("#turns li");
    await page.until(await page.ask("Watch me"), "completed");
    await page.says(stage, "completed", () => stage.first().getAttribute("data-stage"));

    await tab.getByRole("button", { name: "Sign out" }).click();
    await page.is("idle");
    assert.equal(await page.turns.count(), 0);
    await tab.getByLabel("Email").fill("ines@example.com");
    await tab.getByLabel("Password").fill("lighthouse");
    await tab.getByLabel("Password").press("Enter");
    await page.is("open");
    await page.says(titles, "New conversation | In the first session | In the second session", list);

    // The user is signed in on every tab, and each tab has its own session.
    const other = await open({ beside: page });
    await other.is("open");
    await other.says(other.page.locator("#account-chip"), "signed in");
  });
});

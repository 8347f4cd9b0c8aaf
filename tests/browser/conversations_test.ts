/**
 * The list of conversations on the page: search, titles, archive, editing, regenerating, and reopening after a pause. One stack for
 * all of it. Its sessions time out after a few seconds, so any of these steps may begin with a closed connection.
 */

import assert from "node:assert/strict";
import type { Locator } from "playwright-core";
import { echo, type Exchange, HandModel } from "../support/hand_model.ts";
import { writeLongConversation } from "../support/long_conversation.ts";
import { type PlaygroundPage, withPlayground } from "../support/playground.ts";
import { startPostgres } from "../support/postgres_server.ts";

/** The questions of the long conversation, each with an answer: as many events as a session keeps by default. */
const LONG = 500;
const ENV = { SESSION_TIMEOUT: "0.05", CLEANUP_INTERVAL_MS: "500" };

/** What the page and a test know of the list. */
class List {
  readonly titles: Locator;
  readonly search: Locator;
  readonly #page: PlaygroundPage;
  readonly #rows: Locator;

  constructor(page: PlaygroundPage) {
    this.#page = page;
    this.#rows = page.page.locator("#conversations > li");
    this.titles = this.#rows.locator(".conversation-title");
    this.search = page.page.getByLabel("Search conversations");
  }

  row(title: string): Locator {
    return this.#rows.filter({ has: this.#page.page.locator(".conversation-title", { hasText: title }) });
  }

  async shows(...titles: string[]): Promise<void> {
    const read = async (): Promise<string> => (await this.titles.allTextContents()).join(" | ");
    await this.#page.says(this.titles, titles.join(" | "), read);
  }

  async actions(title: string): Promise<Locator> {
    const row = this.row(title);
    await row.getByRole("button", { name: "Actions:" }).click();
    return row;
  }
}

/** The questions on the page, in their order. */
async function questionsAre(page: PlaygroundPage, ...questions: string[]): Promise<void> {
  const locator = page.turns.locator(".question");
  await page.says(
    locator,
    questions.join(" | "),
    async () => (await locator.allTextContents()).join(" | "),
  );
}

const promptOf = (exchange: Exchange | undefined): string[] =>
  exchange?.messages.filter(({ role }) => role !== "system").map(({ content }) => content) ?? [];

Deno.test("conversations: listed, searched, renamed, edited, regenerated, and reopened after a pause at any worker", async () => {
  await using model = new HandModel({ respond: echo });
  const database = await startPostgres();
  try {
    const options = {
      model: { baseUrl: model.baseUrl },
      lite: true,
      databaseUrl: database.url,
      workers: { agent_websocket: 2 },
      env: ENV,
    };
    await withPlayground(options, async ({ page }) => {
      const { page: tab } = page;
      const { keyboard } = tab;
      const list = new List(page);
      await page.is("open");

      // An anonymous visitor has the conversations that the browser remembers.
      await page.until(await page.ask("About lighthouses"), "completed");
      await list.shows("About lighthouses");
      await tab.getByRole("button", { name: "New conversation" }).click();
      await page.until(await page.ask("About whales"), "completed");
      await list.shows("About whales", "About lighthouses");
      assert.equal(await list.row("About lighthouses").getByRole("button", { name: "Actions:" }).count(), 0);
      await list.search.fill("light");
      await list.shows("About lighthouses");
      await keyboard.press("ArrowDown");
      await keyboard.press("Enter");
      await questionsAre(page, "About lighthouses");
      await list.search.fill("");
      await list.shows("About whales", "About lighthouses");

      // An edit replaces the question and all that came after it.
      await page.until(await page.ask("And their keepers"), "completed");
      const edit = page.turns.first().getByRole("button", { name: "Edit: About lighthouses" });
      const text = tab.getByLabel("Edit the question.");
      await edit.click();
      await text.fill("About nothing");
      await keyboard.press("Escape");
      await text.waitFor({ state: "hidden" });
      assert.equal(
        await tab.evaluate("document.activeElement.getAttribute('aria-label')"),
        "Edit: About lighthouses",
      );
      await keyboard.press("Enter");
      assert.equal(await text.inputValue(), "About lighthouses");
      await text.fill("About harbours");
      await keyboard.press("Enter");
      await questionsAre(page, "About harbours");
      await page.until(page.turns.first(), "completed");
      assert.deepEqual(promptOf(model.exchanges.at(-1)), ["About harbours"]);

      // So does another answer to the same question.
      const asked = model.exchanges.length;
      await page.turns.first().getByRole("button", { name: "Regenerate" }).click();
      await page.says(
        page.turns,
        String(asked + 1),
        () => Promise.resolve(String(model.exchanges.length)),
      );
      await questionsAre(page, "About harbours");
      await page.until(page.turns.first(), "completed");
      assert.deepEqual(promptOf(model.exchanges.at(-1)), ["About harbours"]);
      await tab.reload();
      await questionsAre(page, "About harbours");

      // A user's conversations are the server's, with all that one can do to them.
      await tab.getByLabel("Email").fill("ines@example.com");
      await tab.getByLabel("Password").fill("lighthouse");
      await tab.getByRole("button", { name: "Sign up" }).click();
      await page.says(tab.locator("#account-email"), "ines@example.com");
      await questionsAre(page);
      await page.until(await page.ask("How deep is the sea?"), "completed");
      await list.shows("How deep is the sea?");
      await tab.getByRole("button", { name: "New conversation" }).click();
      await page.until(await page.ask("How high is the sky?"), "completed");
      await list.shows("How high is the sky?", "How deep is the sea?");

      const sea = await list.actions("How deep is the sea?");
      await sea.getByRole("button", { name: "Rename" }).click();
      await tab.getByLabel("New title").fill("Never mind");
      await keyboard.press("Escape");
      await (await list.actions("How deep is the sea?")).getByRole("button", { name: "Rename" }).click();
      await keyboard.type("Depths");
      await keyboard.press("Enter");
      await list.shows("How high is the sky?", "Depths");

      await (await list.actions("Depths")).getByRole("button", { name: "Archive" }).click();
      await list.shows("How high is the sky?");
      await tab.getByLabel("Archived").check();
      await list.shows("Depths");
      await (await list.actions("Depths")).getByRole("button", { name: "Unarchive" }).click();
      await list.shows();
      await tab.getByLabel("Archived").uncheck();
      await list.shows("How high is the sky?", "Depths");

      // A long conversation shows its newest part, and more of it on request.
      const session = JSON.parse(await tab.evaluate("sessionStorage.getItem('agent-websocket')")).sessionId;
      await writeLongConversation(database.url, {
        likeSession: session,
        questions: LONG,
        question: (number) => number === 1 ? "What is a fathom?" : `And ${number} fathoms?`,
      });
      await list.search.fill("fathom");
      await list.shows("What is a fathom?");
      await list.row("What is a fathom?").getByRole("button").first().click();
      await page.says(page.turns.last().locator(".question"), `And ${LONG} fathoms?`);
      assert.equal(await page.turns.count(), 30);
      const below: number = await tab.evaluate("log.scrollHeight - log.clientHeight - log.scrollTop");
      assert.ok(below < 2, `it is ${below} px before its end`);
      const earliest = page.turns.first();
      const earlier = tab.getByRole("button", { name: `Show earlier questions (${LONG - 30})` });
      await earlier.scrollIntoViewIfNeeded();
      const before = await earliest.boundingBox();
      await earlier.click();
      await page.says(page.turns, "60", async () => String(await page.turns.count()));
      const after = await page.turns.nth(30).boundingBox();
      assert.ok(Math.abs((after?.y ?? 0) - (before?.y ?? 0)) <= 1, "what was read stays where it was");

      // Deleted where it is open, and where it is not.
      await list.search.fill("");
      await (await list.actions("Depths")).getByRole("button", { name: "Delete" }).click();
      await tab.getByRole("button", { name: "Really delete?" }).click();
      await list.shows("How high is the sky?", "What is a fathom?");
      await (await list.actions("What is a fathom?")).getByRole("button", { name: "Delete" }).click();
      await tab.getByRole("button", { name: "Really delete?" }).click();
      await questionsAre(page);
      await list.shows("New conversation", "How high is the sky?");

      // After a pause the connection is closed, and the next question goes on where it was.
      await list.row("How high is the sky?").getByRole("button").first().click();
      await questionsAre(page, "How high is the sky?");
      await page.says(page.verdict, /^Paused:.* Your next question continues this conversation\.$/);
      await page.is("idle");
      await page.until(await page.ask("And at night?"), "completed");
      await questionsAre(page, "How high is the sky?", "And at night?");
      assert.deepEqual(promptOf(model.exchanges.at(-1)), [
        "How high is the sky?",
        "You said: How high is the sky?",
        "And at night?",
      ]);
    });
  } finally {
    await database.stop();
  }
});

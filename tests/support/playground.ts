/** The page in a real browser. The tests of one process share the browser; each test has its own stack. */

import assert from "node:assert/strict";
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from "playwright-core";
import { launchChromium } from "./chromium.ts";
import { eventually, type TestStack, type TestStackOptions, withLocalStack } from "./local_stack.ts";
import { urlOf } from "./source_files.ts";

/** Folder for screenshots; CI keeps it. */
export const SCREENSHOTS = urlOf(".ci/tmp/screenshots/");
/** Limit for anything on the page, on a busy machine. */
export const PATIENCE_MS = 60_000;

export interface PlaygroundOptions extends TestStackOptions {
  context?: BrowserContextOptions;
  /** Console warnings and errors that are allowed. Default: none. */
  mayComplain?: RegExp;
}

export interface PlaygroundTest {
  stack: TestStack;
  page: PlaygroundPage;
  /** Opens the page again: as a new tab in the browser context of `beside`, or in a new context. */
  open(
    options?: { beside?: PlaygroundPage; context?: BrowserContextOptions; url?: string },
  ): Promise<PlaygroundPage>;
}

let browser: Promise<Browser> | undefined;

// Outside of the tests, because each test must close what it opens.
Deno.test.beforeAll(async () => void await (browser = launchChromium()));
Deno.test.afterAll(closeBrowser);

/** Closes the shared browser. For programs that are not tests: there the browser stays open until this call. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

/**
 * Runs `body` with the page open and connected. Fails if a page logged a warning or an error, threw an error, or sent a
 * request to a host other than the stack. If `body` fails, a screenshot is kept.
 */
export async function withPlayground(
  { context = {}, mayComplain, ...stackOptions }: PlaygroundOptions,
  body: (test: PlaygroundTest) => Promise<void>,
): Promise<void> {
  const chromium = await (browser ??= launchChromium());
  const windows = new Set<BrowserContext>();
  const pages: PlaygroundPage[] = [];
  const closeAll = (): Promise<unknown> => Promise.all(Array.from(windows, (window) => window.close()));
  try {
    const env = { RATE_LIMIT_PER_MINUTE: "0", ...stackOptions.env };
    await withLocalStack({ testHooks: true, ...stackOptions, env }, async (stack) => {
      const open: PlaygroundTest["open"] = async (options = {}) => {
        const window = options.beside?.page.context() ??
          await chromium.newContext(options.context ?? context);
        windows.add(window);
        const made = new PlaygroundPage(await window.newPage(), stack);
        pages.push(made);
        await made.page.goto(options.url ?? `${stack.url}/`);
        return made;
      };
      const page = await open();
      try {
        await body({ stack, page, open });
      } catch (error) {
        for (const [at, one] of pages.entries()) await one.screenshot(`failed-${at}`).catch(() => {});
        throw error;
      }
      for (const one of pages) {
        assert.deepEqual(one.complaints.filter((words) => mayComplain?.test(words) !== true), []);
        assert.deepEqual(one.foreign, []);
      }
      // Close the pages before the stack stops, or they would reconnect.
      await closeAll();
    });
  } finally {
    await closeAll();
  }
}

/** The actions of a test on the page. */
export class PlaygroundPage {
  readonly page: Page;
  /** Console warnings and errors of the page, and uncaught errors. */
  readonly complaints: string[] = [];
  /** Requests to hosts other than the stack. */
  readonly foreign: string[] = [];
  readonly turns: Locator;
  readonly verdict: Locator;
  readonly question: Locator;

  constructor(page: Page, { url }: TestStack) {
    this.page = page;
    this.turns = page.locator("article.turn");
    this.verdict = page.locator("#verdict");
    this.question = page.getByLabel("Your question");
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    const { host } = new URL(url);
    const check = (asked: string): void => {
      if (new URL(asked).host !== host) this.foreign.push(asked);
    };
    page.on("request", (request) => check(request.url()));
    page.on("websocket", (socket) => check(socket.url()));
  }

  /** Waits until the connection's status is `status`. */
  async is(status: "idle" | "open" | "reconnecting"): Promise<void> {
    await this.page.locator(`#connection[data-status=${status}]`).waitFor();
  }

  async isWatching(): Promise<void> {
    await this.page.locator("#watch-status", { hasText: "watching" }).waitFor();
  }

  /** Sends a question and returns its turn, the last one on the page. */
  async ask(question: string): Promise<Locator> {
    const turn = this.turns.nth(await this.turns.count());
    await this.question.fill(question);
    await this.page.getByRole("button", { name: "Send", exact: true }).click();
    await turn.waitFor();
    return turn;
  }

  /** Waits until the turn is in state `state`. */
  async until(
    turn: Locator,
    state: "queued" | "running" | "completed" | "cancelled" | "failed",
  ): Promise<void> {
    await this.says(turn, state, () => turn.getAttribute("data-state"));
  }

  /** Waits until the text of an element matches. */
  async says(
    element: Locator,
    expected: string | RegExp,
    read: () => Promise<string | null> = () => element.textContent(),
  ): Promise<void> {
    let last: string | null = null;
    await eventually(`${expected} (last: ${last})`, async () => {
      last = await read();
      return typeof expected === "string" ? last === expected : expected.test(last ?? "");
    }, PATIENCE_MS).catch((error) => {
      throw new Error(`${error.message}; it says: ${last}`);
    });
  }

  textOf(turn: Locator): Locator {
    return turn.locator(".text");
  }

  async screenshot(name: string): Promise<void> {
    await Deno.mkdir(SCREENSHOTS, { recursive: true });
    await Deno.writeFile(
      new URL(`${name}.png`, SCREENSHOTS),
      await this.page.screenshot({ animations: "disabled" }),
    );
  }
}

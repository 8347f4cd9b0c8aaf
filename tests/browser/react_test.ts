/**
 * The React example in Chromium, once over the client's own transport and once over the AI SDK's: what a user does, and
 * what the network does to them. The checks of a transport share a stack and a page.
 */

import assert from "node:assert/strict";
import type { Browser } from "playwright-core";
import { launchChromium } from "../support/chromium.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import {
  buildExample,
  ExamplePage,
  PATIENCE_MS,
  serveExample,
  type Transport,
  TRANSPORTS,
} from "../support/react_example.ts";

interface Check {
  transport: Transport;
  page: ExamplePage;
  model: HandModel;
  stack: TestStack;
  /** Between the page and the stack. */
  line: CuttingProxy;
}

let browser: Promise<Browser>;
let built: Promise<URL>;

Deno.test.beforeAll(async () => {
  browser = launchChromium();
  built = buildExample();
  await Promise.all([browser, built]);
});
Deno.test.afterAll(async () => await (await browser).close());

Deno.test("react: the example, over the client's own transport and over the AI SDK's", async (t) => {
  await using model = new HandModel();
  await withLocalStack({
    lite: true,
    model: { baseUrl: model.baseUrl },
    workers: { agent_websocket: 2 },
    env: { RATE_LIMIT_PER_MINUTE: "0", AUTH_MODE: "required", CONTINUE_POLICY: "restart" },
  }, async (stack) => {
    for (const transport of TRANSPORTS) {
      await withPage(transport, { model, stack }, async (check) => {
        for (const [name, body] of Object.entries(CHECKS)) {
          // A check begins where the one before it has ended.
          if (await t.step(`${transport}: ${name}`, () => body(check))) continue;
          await check.page.screenshot(`failed-react-${transport}`);
          return;
        }
        const { complaints } = check.page;
        assert.deepEqual(complaints.filter((words) => !MAY_COMPLAIN.test(words)), []);
      });
    }
  });
});

async function withPage(
  transport: Transport,
  { model, stack }: Pick<Check, "model" | "stack">,
  body: (check: Check) => Promise<void>,
): Promise<void> {
  await using line = new CuttingProxy({ port: Number(new URL(stack.url).port) });
  const server = serveExample(await built, transport, `http://127.0.0.1:${line.port}`);
  const context = await (await browser).newContext();
  try {
    const page = await ExamplePage.open(context, `http://127.0.0.1:${server.addr.port}/`);
    await body({ transport, page, model, stack, line });
  } finally {
    await context.close();
    await server.shutdown();
  }
}

/** What the browser itself logs about connections that these checks cut, and about the sign-in of another user. */
const MAY_COMPLAIN = /WebSocket connection to|ERR_INTERNET_DISCONNECTED|ERR_EMPTY_RESPONSE/;

const CHECKS: Record<string, (check: Check) => Promise<void>> = {
  async "a new user asks, and the answer is shown as it is written"(
    { page, model, transport },
  ): Promise<void> {
    await page.signIn(`ines@${transport}.example`, { isNew: true });
    await page.ask("What is a lighthouse?");
    const answer = await model.next({ withinMs: PATIENCE_MS });
    answer.say("A tower ");
    await page.shows(page.answers, ["A tower "]);
    answer.say("with a lamp");
    answer.finish();
    await page.is("ready");
    await page.shows(page.answers, ["A tower with a lamp"]);
    await page.shows(page.titles, ["What is a lighthouse?"]);
    const isDoor = page.sockets.some((url) => url.includes("/agent_websocket/ai-sdk"));
    assert.equal(isDoor, transport === "ai-sdk");
  },

  async "a reload in mid-answer continues it"({ page, model }): Promise<void> {
    const asked = model.exchanges.filter(({ question }) => question === "Why a lamp?").length;
    await page.ask("Why a lamp?");
    const answer = await model.next({ withinMs: PATIENCE_MS });
    answer.say("So that ");
    await page.shows(page.answers, ["A tower with a lamp", "So that "]);
    await page.page.reload();
    await page.shows(page.answers, ["A tower with a lamp", "So that "]);
    await page.is("streaming");
    answer.say("ships see it");
    await page.shows(page.answers, ["A tower with a lamp", "So that ships see it"]);
    answer.finish();
    await page.is("ready");
    await page.page.reload();
    await page.shows(page.questions, ["What is a lighthouse?", "Why a lamp?"]);
    await page.shows(page.answers, ["A tower with a lamp", "So that ships see it"]);
    assert.equal(model.exchanges.filter(({ question }) => question === "Why a lamp?").length, asked + 1);
  },

  async "stop, also right after a reload, and the text so far stays"({ page, model }): Promise<void> {
    await page.click("New chat");
    await page.ask("Tell me");
    const first = await model.next({ withinMs: PATIENCE_MS });
    first.say("Once ");
    await page.shows(page.answers, ["Once "]);
    await page.click("Stop");
    await eventually("the end of the request", () => first.abortedAt);
    await page.is("ready");
    await page.ask("Tell me more");
    const second = await model.next({ withinMs: PATIENCE_MS });
    second.say("Twice ");
    await page.shows(page.answers, ["Once ", "Twice "]);
    await page.page.reload();
    await page.click("Stop");
    await eventually("the end of the request", () => second.abortedAt);
    await page.is("ready");
    await page.page.reload();
    await page.shows(page.answers, ["Once ", "Twice "]);
    await page.is("ready");
  },

  async "edit and regenerate: the model does not see what was replaced"({ page, model }): Promise<void> {
    await page.click("New chat");
    await page.ask("A boat");
    await answer(model, "In which colour?");
    await page.shows(page.answers, ["In which colour?"]);
    await page.is("ready");
    await page.ask("Red");
    await answer(model, "Red is fine");
    await page.shows(page.answers, ["In which colour?", "Red is fine"]);
    await page.is("ready");
    await page.click("Regenerate");
    const regenerated = await answer(model, "Red it is");
    await page.shows(page.answers, ["In which colour?", "Red it is"]);
    await page.is("ready");
    await page.click("Edit");
    await page.ask("Blue");
    const edited = await answer(model, "Blue it is");
    await page.shows(page.answers, ["In which colour?", "Blue it is"]);
    await page.is("ready");
    await page.reload();
    await page.shows(page.questions, ["A boat", "Blue"]);
    await page.shows(page.answers, ["In which colour?", "Blue it is"]);
    await page.click("Regenerate");
    const again = await answer(model, "Blue again");
    await page.shows(page.answers, ["In which colour?", "Blue again"]);
    const said = [regenerated, edited, again].map(({ messages }) =>
      messages.flatMap(({ role, content }) => role === "system" ? [] : [content])
    );
    assert.deepEqual(said, [
      ["A boat", "In which colour?", "Red"],
      ["A boat", "In which colour?", "Blue"],
      ["A boat", "In which colour?", "Blue"],
    ]);
  },

  async "another chat in mid-answer and back"({ page, model }): Promise<void> {
    await page.click("New chat");
    await page.ask("A long story");
    const long = await model.next({ withinMs: PATIENCE_MS });
    long.say("It began ");
    await page.shows(page.answers, ["It began "]);
    await page.click("New chat");
    await page.shows(page.answers, []);
    await page.ask("A short one");
    await answer(model, "The end");
    await page.shows(page.answers, ["The end"]);
    long.say("at sea");
    await page.page.getByRole("button", { name: "A long story" }).click();
    await page.shows(page.answers, ["It began at sea"]);
    await page.is("streaming");
    long.finish();
    await page.is("ready");
    assert.equal(long.abortedAt, undefined);
  },

  async "two more components on one chat, mounted in mid-answer in StrictMode, stop nothing"(
    { page, model },
  ): Promise<void> {
    await page.click("New chat");
    await page.ask("For all");
    const shared = await model.next({ withinMs: PATIENCE_MS });
    shared.say("To each ");
    await page.shows(page.answers, ["To each "]);
    await page.page.evaluate(`mountBeside("${page.chatId}")`);
    await page.shows(page.page.locator("li.assistant p"), ["To each ", "To each "]);
    const own = page.page.locator("#own");
    await page.shows(own, ["To each "]);
    shared.say("the same");
    await page.shows(page.page.locator("li.assistant p"), ["To each the same", "To each the same"]);
    await page.shows(own, ["To each the same"]);
    assert.equal(await page.page.evaluate("mounts()"), 2, "StrictMode mounts twice");
    shared.finish();
    await page.is("ready");
    assert.equal(shared.abortedAt, undefined);
  },

  async "back from the background with a dead connection"({ page, model, line, transport }): Promise<void> {
    await page.click("New chat");
    await page.ask("Wait for me");
    const answer = await model.next({ withinMs: PATIENCE_MS });
    answer.say("I was ");
    await page.shows(page.answers, ["I was "]);
    await page.setVisible(false);
    // The AI SDK's own transport does not notice a connection that is silent.
    if (transport === "agent") line.silenceAll();
    else line.cutAll();
    answer.say("waiting");
    await page.setVisible(true);
    await page.shows(page.answers, ["I was waiting"]);
    answer.finish();
    await page.is("ready");
  },

  async "offline and online"({ page, model, line, transport }): Promise<void> {
    await page.ask("Are you there?");
    const first = await model.next({ withinMs: PATIENCE_MS });
    first.say("Yes, ");
    await page.shows(page.answers, ["I was waiting", "Yes, "]);
    await page.page.context().setOffline(true);
    line.cutAll();
    first.say("I am");
    first.finish();
    await page.page.context().setOffline(false);
    await page.shows(page.answers, ["I was waiting", "Yes, I am"]);
    await page.is("ready");
    await page.page.context().setOffline(true);
    line.cutAll();
    await page.ask("And now?");
    await page.is(transport === "agent" ? "submitted" : "error");
    await page.page.context().setOffline(false);
    // The AI SDK's own transport has no queue.
    if (transport === "ai-sdk") await page.click("Ask again");
    await answer(model, "Still here");
    await page.shows(page.answers, ["I was waiting", "Yes, I am", "Still here"]);
    await page.is("ready");
  },

  async "the workers are killed in mid-answer"({ page, model, stack }): Promise<void> {
    await page.click("New chat");
    await page.ask("Live long");
    const first = await model.next({ withinMs: PATIENCE_MS });
    first.say("By one worker");
    await page.shows(page.answers, ["By one worker"]);
    for (const { worker } of stack.workers().filter(({ function: name }) => name === "agent_websocket")) {
      stack.disturb("agent_websocket", "kill", { number: worker });
    }
    const second = await model.next({ withinMs: PATIENCE_MS });
    second.say("By another");
    await page.shows(page.answers, ["By another"]);
    second.finish();
    await page.is("ready");
    await page.shows(page.answers, ["By another"]);
  },

  async "the list has titles; search, rename and archive"({ page }): Promise<void> {
    const all = ["Live long", "Wait for me", "For all", "A long story", "A short one", "A boat"];
    await page.shows(page.titles, [...all, "Tell me", "What is a lighthouse?"]);
    const search = page.page.getByPlaceholder("Search");
    await search.fill("lighthouse");
    await page.shows(page.titles, ["What is a lighthouse?"]);
    page.page.once("dialog", (dialog) => void dialog.accept("About towers"));
    await page.click("Rename");
    await page.shows(page.titles, ["About towers"]);
    await page.click("Archive");
    await page.shows(page.titles, []);
    await search.fill("");
    await page.shows(page.titles, [...all, "Tell me"]);
  },

  async "nothing of a user is left for the next one"({ page, model, transport }): Promise<void> {
    await page.page.getByRole("button", { name: "A long story" }).click();
    await page.shows(page.answers, ["It began at sea"]);
    await page.click("Sign out");
    await page.page.getByLabel("Email").waitFor();
    const kept = await page.page.evaluate<string>(
      "JSON.stringify([localStorage, sessionStorage, document.body.innerHTML])",
    );
    assert.ok(!/ines@|story|sea|lighthouse/.test(kept), kept);
    await page.signIn(`otto@${transport}.example`, { isNew: true });
    await page.ask("Who am I?");
    const { messages } = await answer(model, "Otto");
    assert.ok(!JSON.stringify(messages).includes("sea"));
    await page.shows(page.questions, ["Who am I?"]);
    await page.shows(page.answers, ["Otto"]);
    await page.shows(page.titles, ["Who am I?"]);
    await page.click("Sign out");
    await page.signIn(`ines@${transport}.example`);
    await page.shows(page.titles.first(), ["Live long"]);
  },
};

/** Answers the next request to the model at once. */
async function answer(model: HandModel, text: string): Promise<Awaited<ReturnType<HandModel["next"]>>> {
  const exchange = await model.next({ withinMs: PATIENCE_MS });
  exchange.say(text);
  exchange.finish();
  return exchange;
}

/** The AI SDK's own transport and its hook, as they are shipped, against the real stack. */

import assert from "node:assert/strict";
import { type ChatInit, type UIMessage, WebSocketChatTransport } from "ai";
import type { Exchange } from "../support/hand_model.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { sectionOf } from "../support/section.ts";
import { read } from "../support/source_files.ts";
import { Chat, type ChatPage, optionsOf, renderChat, textOf } from "../support/use_chat.ts";

const urlOf = (stack: TestStack): string => `${stack.url}/functions/v1/agent_websocket/ai-sdk`;

type TransportOptions = Partial<ConstructorParameters<typeof WebSocketChatTransport>[0]>;

/** Pages of one stack. Their sockets are closed when the test ends. */
class Pages implements Disposable {
  readonly #url: string;
  readonly #transports: WebSocketChatTransport<UIMessage>[] = [];
  readonly #rendered: ChatPage[] = [];

  constructor(stack: TestStack) {
    this.#url = urlOf(stack);
  }

  transport(options: TransportOptions): WebSocketChatTransport<UIMessage> {
    const transport = new WebSocketChatTransport<UIMessage>({ url: this.#url, ...options });
    this.#transports.push(transport);
    return transport;
  }

  /** The sockets of all pages but the newest are lost, as when a browser leaves a page. */
  leave(): void {
    for (const transport of this.#transports.slice(0, -1)) transport.close();
  }

  chat(options: TransportOptions, init: ChatInit<UIMessage> = {}): Chat<UIMessage> {
    return new Chat({ id: "c1", transport: this.transport(options), ...init });
  }

  render(
    options: TransportOptions,
    { strict = false, ...init }: ChatInit<UIMessage> & { resume?: boolean; strict?: boolean } = {},
  ): ChatPage {
    const page = renderChat({ id: "c1", transport: this.transport(options), ...init }, { strict });
    this.#rendered.push(page);
    return page;
  }

  /** Renders an example of a document as it is written there, but for the server's address. */
  example(
    path: string,
    section: string,
    scope: Record<string, unknown>,
    messages: UIMessage[] = [],
  ): ChatPage {
    const [, code = ""] = /```js\n([^]*?)```/.exec(sectionOf(read(path), section)) ?? [];
    const { origin } = new URL(this.#url);
    const options = optionsOf(code.replace("https://<project-ref>.supabase.co", origin), scope);
    const page = renderChat({ ...options, messages });
    options.onRendered(page);
    this.#rendered.push(page);
    if ("transport" in options) this.#transports.push(options.transport as WebSocketChatTransport<UIMessage>);
    return page;
  }

  [Symbol.dispose](): void {
    for (const transport of this.#transports) transport.close();
    for (const page of this.#rendered) page.unmount();
  }
}

const promptOf = ({ messages }: Exchange): string[] =>
  messages.slice(1).map(({ role, content }) => `${role}: ${content}`);

async function answer(model: HandModel, text: string): Promise<Exchange> {
  const exchange = await model.next();
  exchange.say(text);
  exchange.finish();
  return exchange;
}

/** Generous: the machine may be busy. */
function soon<T>(what: string, check: Parameters<typeof eventually<T>>[1]): Promise<T> {
  return eventually(what, check, 30_000);
}

const token = (): string => (crypto.randomUUID() + crypto.randomUUID()).slice(0, 43);

Deno.test("[AS1] [AS4] [AS5] [AS6] [AS8] [AS10] [AS11] the shipped transport: send, regenerate, edit, stop, fail", async () => {
  await using model = new HandModel();
  const env = { AUTH_MODE: "required", RATE_LIMIT_PER_MINUTE: "0" };
  await withLocalStack({ model: { baseUrl: model.baseUrl }, env }, async (stack) => {
    using pages = new Pages(stack);
    const jwt = await stack.token({ claims: { sub: "ann" } });
    // As `params`, and as browsers can send it without a query parameter.
    const chat = pages.chat({ params: () => ({ jwt }) });
    const other = pages.chat({ protocols: ["ai-sdk.v1", `jwt-${jwt}`] }, { id: "c2" });
    const first = chat.sendMessage({ text: "A joke?" }, { body: { priority: "high" } });
    const exchange = await model.next();
    exchange.think("Hm.");
    exchange.say("Joke ");
    await soon("the first words", () => textOf(chat.lastMessage) === "Joke ");
    assert.equal(chat.status, "streaming");
    const { sessionId: id } = chat.lastMessage?.metadata as { sessionId: string };
    let posts = 0;
    // A notification posted before the worker has joined the relay reaches no page.
    const notice = await soon("the part", async () => {
      const response = await fetch(`${stack.url}/functions/v1/notify_websocket`, {
        method: "POST",
        headers: { apikey: stack.keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({
          session_id: id,
          id: `n${++posts}`,
          message: { content: "Ready", data: { n: 1 } },
        }),
      });
      assert.equal(response.status, 202);
      await response.body?.cancel();
      return chat.lastMessage?.parts.find(({ type }) => type === "data-notification");
    });
    assert.deepEqual((notice as { data?: unknown }).data, { content: "Ready", data: { n: 1 } });
    exchange.say("1");
    exchange.finish();
    await first;
    assert.equal(chat.status, "ready");
    assert.deepEqual(chat.lastMessage?.parts.slice(0, 2).map(({ type }) => type), ["reasoning", "text"]);
    const { turnId, model: name, usage, finishReason, sessionId } = chat.lastMessage?.metadata as Record<
      string,
      unknown
    >;
    assert.equal(chat.lastMessage?.id, `answer-${turnId}`);
    assert.deepEqual([name, finishReason, typeof sessionId], ["test/model", "stop", "string"]);
    assert.equal((usage as { total_tokens: number }).total_tokens, 8);

    await Promise.all([chat.sendMessage({ text: "Another?" }), answer(model, "Joke 2")]);
    const [, again] = await Promise.all([chat.regenerate(), answer(model, "Joke 3")]);
    const before = ["user: A joke?", "assistant: Joke 1"];
    assert.deepEqual(promptOf(again), [...before, "user: Another?"]);
    assert.deepEqual(chat.messages.map(textOf), ["A joke?", "Joke 1", "Another?", "Joke 3"]);
    const [, third] = await Promise.all([chat.sendMessage({ text: "And?" }), answer(model, "Joke 4")]);
    assert.deepEqual(promptOf(third), [...before, "user: Another?", "assistant: Joke 3", "user: And?"]);
    const messageId = chat.messages[2]?.id ?? "";
    const edit = chat.sendMessage({ text: "A poem?", messageId });
    assert.deepEqual(promptOf(await answer(model, "Poem")), [...before, "user: A poem?"]);
    await edit;
    assert.deepEqual(chat.messages.map(textOf), ["A joke?", "Joke 1", "A poem?", "Poem"]);

    const stopped = chat.sendMessage({ text: "A long one" });
    const long = await model.next();
    long.say("Once upon ");
    await soon("the first words", () => textOf(chat.lastMessage) === "Once upon ");
    await chat.stop();
    await stopped;
    await soon("the end of the request to the model", () => long.abortedAt);
    assert.deepEqual([chat.status, textOf(chat.lastMessage)], ["ready", "Once upon "]);
    const next = chat.sendMessage({ text: "Go on" });
    assert.deepEqual(promptOf(await answer(model, "a time")).slice(-2), [
      "assistant: Once upon ",
      "user: Go on",
    ]);
    await next;

    const failing = chat.sendMessage({ text: "Fail" });
    const broken = await model.next();
    broken.say("Half ");
    await soon("the first words", () => textOf(chat.lastMessage) === "Half ");
    broken.breakOff();
    await failing;
    assert.equal(chat.status, "error");
    assert.match(chat.error?.message ?? "", /^model_stream_broken: /);
    // The question that has failed is asked again, without its failed answer.
    const [, retried] = await Promise.all([chat.regenerate(), answer(model, "Whole")]);
    assert.equal(promptOf(retried).at(-1), "user: Fail");
    assert.deepEqual([chat.status, textOf(chat.lastMessage)], ["ready", "Whole"]);

    // A page that sends all of its messages, longer than a frame of our own protocol may be.
    const history = Array.from({ length: 4 }, (_, n): UIMessage => ({
      id: `old ${n}`,
      role: n % 2 === 0 ? "user" : "assistant",
      parts: [{ type: "text", text: "x".repeat(30_000) }],
    }));
    other.messages = history;
    await Promise.all([other.sendMessage({ text: "Hi" }), answer(model, "Hello")]);
    assert.equal(textOf(other.lastMessage), "Hello");

    await other.sendMessage({
      text: "What is this?",
      files: [{ type: "file", mediaType: "image/png", url: "data:image/png;base64,AAAA" }],
    });
    assert.equal(other.error?.message, "invalid_frame: Cannot take files: the agent takes text");
    // README.md, as it is written there.
    const supabase = { auth: { getSession: () => ({ data: { session: { access_token: jwt } } }) } };
    const readme = pages.example("README.md", "use-chat", { supabase });
    void readme.chat.sendMessage({ text: "Does it work?" });
    await answer(model, "It does");
    await soon("the answer", () => readme.shown.join("|") === "Does it work?|It does");

    const unknown = pages.chat({ params: { jwt: "wrong" } });
    await unknown.sendMessage({ text: "Hi" });
    assert.equal(
      unknown.error?.message,
      "unauthorized: Cannot accept the token: it is not a JSON Web Token",
    );
  });
});

Deno.test("[AS3] [AS7] [AS9] [AS10] [AS13] useChat: reloaded, in StrictMode, at another worker, and with its worker killed", async () => {
  await using model = new HandModel();
  const env = {
    AUTH_MODE: "none",
    RATE_LIMIT_PER_MINUTE: "0",
    TURN_LEASE_MS: "1500",
    CHECKPOINT_INTERVAL_MS: "100",
    CONTINUE_POLICY: "restart",
  };
  const options = { lite: true, workers: { agent_websocket: 2 }, model: { baseUrl: model.baseUrl }, env };
  await withLocalStack(options, async (stack) => {
    using pages = new Pages(stack);
    const params = { resume_token: token() };
    const first = pages.render({ params }, { id: "my-chat" });
    void first.chat.sendMessage({ text: "A story" });
    const story = await model.next();
    story.say("Once ");
    await soon("the first words", () => first.shown.at(-1) === "Once ");
    const kept = structuredClone(first.chat.messages);

    // The gateway takes the workers in turn: the next socket is another worker's.
    const strict = pages.render({ params }, { id: "my-chat", messages: kept, resume: true, strict: true });
    await eventually(
      "the words so far",
      () => strict.shown.join("|") === "A story|Once " && strict.chat.status,
    );
    story.say("upon a time");
    story.finish();
    for (const page of [first, strict]) {
      await soon("the end", () => page.chat.status === "ready" && page.shown.at(-1) !== "Once ");
      assert.deepEqual(page.shown, ["A story", "Once upon a time"]);
    }
    assert.equal(model.exchanges.length, 1, "StrictMode's first resume was no stop");

    // Killed in mid-answer: the page of docs/AI_SDK.md is told, and resumes.
    const localStorage = { agent_token: params.resume_token };
    const page = pages.example(
      "docs/AI_SDK.md",
      "visitor",
      { localStorage },
      structuredClone(strict.chat.messages),
    );
    void page.chat.sendMessage({ text: "Another" });
    const cut = await model.next();
    cut.say("There was ");
    await soon("the first words", () => page.shown.at(-1) === "There was ");
    for (const { worker, state, function: name } of stack.workers()) {
      if (name === "agent_websocket" && state === "live") {
        stack.disturb("agent_websocket", "kill", { number: worker });
      }
    }
    const second = await soon("another worker's request", () => model.exchanges[2]);
    second.say("Once more, ");
    await soon("the text that replaces it", () => page.shown.at(-1) === "Once more, ");
    second.say("anew");
    second.finish();
    await eventually(
      "the end",
      () => page.chat.status === "ready" && page.shown.at(-1) !== "Once more, ",
      30_000,
    );
    assert.deepEqual(page.shown, ["A story", "Once upon a time", "Another", "Once more, anew"]);

    // A stop of a resumed answer, in StrictMode.
    void page.chat.sendMessage({ text: "A third" });
    const third = await soon("the request", () => model.exchanges[3]);
    third.say("And ");
    await soon("the first words", () => page.shown.at(-1) === "And ");
    const again = pages.render({ params }, {
      id: "my-chat",
      messages: structuredClone(page.chat.messages),
      resume: true,
      strict: true,
    });
    await eventually(
      "the words so far",
      () => again.chat.status === "streaming" && again.shown.at(-1) === "And ",
    );
    // The page that has asked is left: its socket is lost, and the answer goes on.
    pages.leave();
    await again.chat.stop();
    await soon("the end of the request to the model", () => third.abortedAt);
  });
});

/**
 * The AI SDK's own chat over a scripted server, without sockets. It is here and not with the unit tests because loading
 * `ai` needs permissions.
 */

import assert from "node:assert/strict";
import { readUIMessageStream, type UIMessage } from "ai";
import { AgentChatTransport } from "../../client/ai_sdk.ts";
import { settle } from "../support/manual_clock.ts";
import { Chat, textOf } from "../support/plain_chat.ts";
import {
  MemoryStorage,
  scriptedClient,
  type ScriptedSocket,
  type TestClient,
} from "../support/scripted_sockets.ts";

interface Page extends TestClient {
  chat: Chat;
  /** What the page shows. */
  shown(): string[];
}

function page(storage: MemoryStorage, messages: UIMessage[] = []): Page {
  const test = scriptedClient({ storage });
  const chat = new Chat({ transport: new AgentChatTransport(test.client, { clock: test.clock }), messages });
  return {
    ...test,
    chat,
    shown: () => chat.messages.map((message) => `${message.role}: ${textOf(message)}`),
  };
}

/** The chat works in many small steps: waits until it is where it should be. */
async function until(expected: unknown, actual: () => unknown): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (JSON.stringify(actual()) === JSON.stringify(expected)) return;
    await settle(1);
  }
  assert.deepEqual(actual(), expected);
}

const RUNNING = { resumed: { recovered: true, from_seq: 2, to_seq: 1 } };

/** A page that is loaded in the middle of an answer, with what the page before it showed. */
async function reloaded(): Promise<Page & { id: string }> {
  const storage = new MemoryStorage();
  const before = page(storage);
  const server = await before.welcomed();
  void before.chat.sendMessage({ text: "A story" });
  await settle();
  const [id = ""] = server.asked;
  server.status("thinking", id, { seq: 1, turn_id: "t" });
  server.delta(id, 0, "Once ");
  await until(["user: A story", "assistant: Once "], before.shown);
  return { ...page(storage, structuredClone(before.chat.messages)), id };
}

/** The server goes on with the answer after a resume. */
async function goOn(server: ScriptedSocket, id: string): Promise<void> {
  server.say({
    type: "delta",
    content: "Once upon ",
    timestamp: "",
    turn_id: "t",
    in_reply_to: id,
    offset: 0,
  });
  await settle();
  server.response(id, 2, "Once upon a time", { turn_id: "t" });
}

for (
  const [what, mount] of Object.entries({
    // What `useChat({resume: true})` does when React mounts it twice.
    "StrictMode mounts the page twice": (chat: Chat) => {
      void chat.resumeStream();
      void chat.stop();
      void chat.resumeStream();
    },
    "resumeStream is called twice": (chat: Chat) => {
      void chat.resumeStream();
      void chat.resumeStream();
    },
  })
) {
  Deno.test(`[CT21] ${what}: nothing is stopped, and the answer arrives once`, async () => {
    const { chat, clock, id, shown, welcomed } = await reloaded();
    mount(chat);
    const server = await welcomed(RUNNING);
    await settle();
    clock.advance(1000);
    assert.deepEqual(server.commands, []);
    await goOn(server, id);
    await until(["user: A story", "assistant: Once upon a time"], shown);
    await until("ready", () => chat.status);
    assert.equal(chat.error, undefined);
  });
}

for (const when of ["before the welcome", "after the welcome"]) {
  Deno.test(`[CT21] [CT13] stop after a reload, ${when}, reaches the server`, async () => {
    const { chat, clock, id, shown, welcomed } = await reloaded();
    void chat.resumeStream();
    void chat.stop();
    void chat.resumeStream();
    const isBefore = when === "before the welcome";
    if (isBefore) await settle();
    const server = isBefore ? undefined : await welcomed(RUNNING);
    await settle();
    void chat.stop();
    clock.advance(250);
    const told = server ?? await welcomed(RUNNING);
    await settle();
    assert.deepEqual(told.sent.flatMap(({ type, args }) => type === "command" ? [args] : []), [{ id }]);
    told.status("cancelled", id, { seq: 2, partial: "Once ", turn_id: "t" });
    await until("ready", () => chat.status);
    assert.deepEqual(shown(), ["user: A story", "assistant: Once "]);
  });
}

Deno.test("[CT21] an answer that begins again replaces what the chat shows", async () => {
  const { chat, shown, welcomed } = page(new MemoryStorage());
  const server = await welcomed();
  const sent = chat.sendMessage({ text: "A story" });
  await settle();
  const [id = ""] = server.asked;
  server.delta(id, 0, "There was a king. ");
  await until(["user: A story", "assistant: There was a king. "], shown);
  server.delta(id, 0, "Once upon ");
  await until(["user: A story", "assistant: Once upon "], shown);
  server.response(id, 2, "Once upon a time");
  await sent;
  assert.deepEqual(shown(), ["user: A story", "assistant: Once upon a time"]);
  assert.equal(chat.lastMessage?.parts.length, 1);
});

Deno.test("[CT21] readUIMessageStream shows one text at a time of an answer that begins again", async () => {
  const { client, welcomed } = scriptedClient();
  const server = await welcomed();
  const messages: UIMessage[] = [{ id: "m", role: "user", parts: [{ type: "text", text: "A story" }] }];
  const stream = await new AgentChatTransport(client).sendMessages({
    trigger: "submit-message",
    chatId: "c",
    messageId: undefined,
    messages,
    abortSignal: undefined,
  });
  const seen: string[] = [];
  const read = (async () => {
    for await (const message of readUIMessageStream({ stream, terminateOnError: true })) {
      seen.push(textOf(message));
      assert.ok(message.parts.length <= 1);
    }
  })();
  for (
    const [offset, text, whole] of [[0, "There ", "There "], [6, "was", "There was"], [
      0,
      "Once ",
      "Once ",
    ]] as const
  ) {
    server.delta("m", offset, text);
    await until(whole, () => seen.at(-1));
  }
  server.response("m", 2, "Once upon a time");
  await read;
  const texts = seen.filter((text, at) => text !== "" && text !== seen[at - 1]);
  assert.deepEqual(texts, ["There ", "There was", "Once ", "Once upon a time"]);
});

Deno.test("[CT21] regenerate and edit name the query that they replace", async () => {
  const { chat, client, shown, welcomed } = page(new MemoryStorage());
  const server = await welcomed();
  let seq = 0;
  /** Answers the newest query, and says first what it replaces. */
  const answered = async (action: Promise<void>, text: string): Promise<Record<string, unknown>> => {
    await settle();
    const query = server.sent.findLast(({ type }) => type === "query") ?? assert.fail();
    if (query.replaces !== undefined) server.rewound(query.id, String(query.replaces), ++seq);
    server.status("thinking", query.id, { seq: ++seq, turn_id: `t-${query.id}` });
    server.response(query.id, ++seq, text);
    await action;
    return query;
  };
  const first = await answered(chat.sendMessage({ text: "A joke?" }), "1");
  assert.deepEqual([first.id, first.replaces], [chat.messages[0]?.id, undefined]);
  const again = await answered(chat.regenerate(), "2");
  assert.deepEqual([again.content, again.replaces], ["A joke?", first.id]);
  await answered(chat.sendMessage({ text: "Another?" }), "3");
  const edited = await answered(chat.sendMessage({ text: "A poem?", messageId: String(first.id) }), "4");
  assert.deepEqual([edited.content, edited.replaces], ["A poem?", again.id]);
  assert.deepEqual(shown(), ["user: A poem?", "assistant: 4"]);
  assert.deepEqual(client.turns.map(({ question, text }) => [question, text]), [["A poem?", "4"]]);
  assert.equal(chat.lastMessage?.id, `answer-t-${edited.id}`);
});

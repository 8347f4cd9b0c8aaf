/** The transport of the AI SDK over a scripted server: the chunks of one answer. */

import assert from "node:assert/strict";
import type { UIMessage, UIMessageChunk } from "ai";
import { AgentChatTransport } from "../../../client/ai_sdk.ts";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient, type ScriptedSocket, type TestClient } from "../../support/scripted_sockets.ts";

type SendOptions = Parameters<AgentChatTransport["sendMessages"]>[0];

/** A request with one question, as the AI SDK makes it. */
function request(options: Partial<SendOptions> & { id?: string; text?: string } = {}): SendOptions {
  const { id = "m", text = "Why?", ...given } = options;
  const messages: UIMessage[] = [{ id, role: "user", parts: [{ type: "text", text }] }];
  return {
    trigger: "submit-message",
    chatId: "c",
    messageId: undefined,
    messages,
    abortSignal: undefined,
    ...given,
  };
}

/** Asks "Why?" and returns the chunks of the answer, as `answer` scripts it. */
async function chunksOf(answer: (server: ScriptedSocket) => Promise<void>): Promise<UIMessageChunk[]> {
  const { client, welcomed } = scriptedClient({ reasoning: true });
  const server = await welcomed();
  const stream = await new AgentChatTransport(client).sendMessages(request());
  const chunks = Array.fromAsync(stream);
  await settle();
  await answer(server);
  return await chunks;
}

Deno.test("[RE2] AgentChatTransport: reasoning and text are parts of their own, in the order in which they came", async () => {
  const chunks = await chunksOf(async (server) => {
    server.reasoning("m", 0, "Let me ");
    await settle();
    server.reasoning("m", 7, "see.");
    await settle();
    server.delta("m", 0, "Because. ");
    await settle();
    server.reasoning("m", 11, " Is it?");
    await settle();
    server.response("m", 1, "Because. Or not.");
  });
  assert.deepEqual(chunks.slice(0, -1), [
    { type: "start", messageId: "answer-t-m" },
    { type: "reasoning-start", id: "answer-t-m" },
    { type: "reasoning-delta", id: "answer-t-m", delta: "Let me " },
    { type: "reasoning-delta", id: "answer-t-m", delta: "see." },
    { type: "reasoning-end", id: "answer-t-m" },
    { type: "text-start", id: "answer-t-m-1" },
    { type: "text-delta", id: "answer-t-m-1", delta: "Because. " },
    { type: "text-end", id: "answer-t-m-1" },
    { type: "reasoning-start", id: "answer-t-m-2" },
    { type: "reasoning-delta", id: "answer-t-m-2", delta: " Is it?" },
    { type: "reasoning-end", id: "answer-t-m-2" },
    { type: "text-start", id: "answer-t-m-3" },
    { type: "text-delta", id: "answer-t-m-3", delta: "Or not." },
    { type: "text-end", id: "answer-t-m-3" },
  ]);
});

Deno.test("[RE2] AgentChatTransport: reasoning that another worker begins again is a new part", async () => {
  const chunks = await chunksOf(async (server) => {
    server.reasoning("m", 0, "Let me see.");
    await settle();
    server.reasoning("m", 0, "Hm.");
    await settle();
    server.response("m", 1, "Because.");
  });
  assert.deepEqual(chunks.slice(1, 7), [
    { type: "reasoning-start", id: "answer-t-m" },
    { type: "reasoning-delta", id: "answer-t-m", delta: "Let me see." },
    { type: "reasoning-end", id: "answer-t-m" },
    { type: "reasoning-start", id: "answer-t-m-1" },
    { type: "reasoning-delta", id: "answer-t-m-1", delta: "Hm." },
    { type: "reasoning-end", id: "answer-t-m-1" },
  ]);
});

Deno.test("[CT21] AgentChatTransport: an answer that begins again empties the message, and keeps what is still true", async () => {
  const chunks = await chunksOf(async (server) => {
    server.reasoning("m", 0, "Let me see.");
    await settle();
    server.delta("m", 0, "Once upon");
    await settle();
    server.say({ type: "notification", content: "Ready", timestamp: "", id: "n1" });
    await settle();
    server.delta("m", 0, "Once");
    await settle();
    server.delta("m", 4, " there was");
    await settle();
    server.response("m", 1, "Once there was.");
  });
  assert.deepEqual(chunks.map(({ type, ...rest }) => [type, "delta" in rest ? rest.delta : undefined]), [
    ["start", undefined],
    ["reasoning-start", undefined],
    ["reasoning-delta", "Let me see."],
    ["reasoning-end", undefined],
    ["text-start", undefined],
    ["text-delta", "Once upon"],
    ["data-notification", undefined],
    ["text-end", undefined],
    ["reset-step", undefined],
    ["data-notification", undefined],
    ["reasoning-start", undefined],
    ["reasoning-delta", "Let me see."],
    ["reasoning-end", undefined],
    ["text-start", undefined],
    ["text-delta", "Once there was"],
    ["text-delta", "."],
    ["text-end", undefined],
    ["finish", undefined],
  ]);
  const ids = chunks.flatMap((chunk) => chunk.type === "text-start" ? [chunk.id] : []);
  assert.equal(new Set(ids).size, 2, "the second text is another part");
});

Deno.test("[CT21] AgentChatTransport: the message has another id than the question, and none before the server has it", async () => {
  const { client, welcomed } = scriptedClient();
  const server = await welcomed();
  const reader = (await new AgentChatTransport(client).sendMessages(request())).getReader();
  const first = reader.read();
  await settle();
  server.status("thinking", "m", { seq: 1, turn_id: "t" });
  assert.deepEqual((await first).value, { type: "start", messageId: "answer-t" });

  client.query("stop me", { id: "x" });
  const refused = await new AgentChatTransport(client).sendMessages(request({ id: "n" }));
  server.error("queue_full", { in_reply_to: "n", retryable: true });
  await assert.rejects(Array.fromAsync(refused), { code: "queue_full" });
});

/** What was sent for the newest query. */
function lastQuery({ sent }: ScriptedSocket): Record<string, unknown> {
  return sent.findLast(({ type }) => type === "query") ?? assert.fail("nothing was sent");
}

Deno.test("[CT21] AgentChatTransport: a message gives its query the id; another answer or other words replace that query", async () => {
  const { client, welcomed } = scriptedClient();
  const server = await welcomed();
  const transport = new AgentChatTransport(client);
  await transport.sendMessages(request({ id: "m1", text: "One?" }));
  assert.deepEqual(lastQuery(server), { type: "query", content: "One?", id: "m1" });
  await transport.sendMessages(request({ id: "m1", text: "One?" }));
  assert.deepEqual(server.asked, ["m1"], "while it runs, the same message is the same query");
  server.response("m1", 2, "1");

  await transport.sendMessages(request({ id: "m1", text: "One?", trigger: "regenerate-message" }));
  const regenerated = lastQuery(server);
  assert.match(String(regenerated.id), /^m1~\w+$/);
  assert.equal(regenerated.replaces, "m1");
  server.rewound(String(regenerated.id), "m1", 3);
  server.response(String(regenerated.id), 5, "one");

  await transport.sendMessages(request({ id: "m2", text: "Two?" }));
  server.response("m2", 7, "2");
  await transport.sendMessages(request({ id: "m1", text: "Uno?", messageId: "m1" }));
  const edited = lastQuery(server);
  assert.deepEqual([edited.content, edited.replaces], ["Uno?", regenerated.id]);
  assert.notEqual(edited.id, regenerated.id);
  server.rewound(String(edited.id), String(regenerated.id), 8);
  assert.deepEqual(client.turns.map(({ question }) => question), ["Uno?"]);
  server.error("model_timeout", { in_reply_to: edited.id, seq: 10, retryable: true });

  // `sendMessage()` without a message, after a failure.
  await transport.sendMessages(request({ id: "m1", text: "Uno?" }));
  assert.equal(lastQuery(server).replaces, edited.id);
});

Deno.test("[CT21] AgentChatTransport: after a reload, the message's own query is replaced, whatever ids there were", async () => {
  const { client, welcomed } = scriptedClient();
  const server = await welcomed();
  const transport = new AgentChatTransport(client);
  const regenerate = request({ id: "m1", trigger: "regenerate-message", messageId: "answer-t" });
  await transport.sendMessages(regenerate);
  assert.equal(lastQuery(server).replaces, "m1");
  const other = scriptedClient();
  const server2 = await other.welcomed();
  await new AgentChatTransport(other.client).sendMessages(regenerate);
  assert.notEqual(lastQuery(server).id, lastQuery(server2).id);
});

Deno.test("[CT21] AgentChatTransport: a message whose id cannot be a query's id is asked under a new one", async () => {
  const { client, welcomed } = scriptedClient();
  const server = await welcomed();
  for (const id of ["", "x".repeat(101)]) {
    await new AgentChatTransport(client).sendMessages(request({ id, trigger: "regenerate-message" }));
  }
  assert.deepEqual(server.asked, ["q1", "q2"]);
});

interface Running extends TestClient {
  server: ScriptedSocket;
  /** Resumes the answer as the AI SDK does. The returned function aborts that. */
  resume(): () => void;
}

async function running(): Promise<Running> {
  const test = scriptedClient();
  const server = await test.welcomed();
  test.client.query("A story", { id: "story" });
  server.status("thinking", "story", { seq: 1 });
  const transport = new AgentChatTransport(test.client, { clock: test.clock });
  const resume = (): () => void => {
    const controller = new AbortController();
    void transport.reconnectToStream({ chatId: "c", abortSignal: controller.signal });
    return () => controller.abort();
  };
  return { ...test, server, resume };
}

Deno.test("[CT21] AgentChatTransport: a resume whose place another one takes is no stop", async () => {
  const { clock, client, server, resume } = await running();
  // In one task, and a moment later.
  resume()();
  resume()();
  clock.advance(249);
  const abort = resume();
  // Long after the page was built: in one task only.
  clock.advance(1000);
  abort();
  resume();
  clock.advance(2000);
  assert.deepEqual([server.commands, client.turns[0]?.state], [[], "running"]);
  client.close();
});

Deno.test("[CT21] AgentChatTransport: a stop of a resumed answer reaches the server at once, or 250 ms later while the page is built", async () => {
  for (const [ageMs, delayMs] of [[499, 250], [500, 0]] as const) {
    const { clock, client, server, resume } = await running();
    resume()();
    const stop = resume();
    clock.advance(ageMs);
    stop();
    if (delayMs > 0) clock.advance(delayMs - 1);
    assert.deepEqual(server.commands, []);
    clock.advance(delayMs > 0 ? 1 : 0);
    assert.deepEqual(server.commands, ["cancel"]);
    client.close();
  }
});

Deno.test("[CT21] AgentChatTransport: of two chats that show one answer, each can stop it", async () => {
  const { clock, client, server, resume } = await running();
  const stop = resume();
  resume();
  clock.advance(1000);
  stop();
  clock.advance(0);
  assert.deepEqual(server.commands, ["cancel"]);
  client.close();
});

Deno.test("[CT20] AgentChatTransport: one transport for all chats, each with its own client", async () => {
  const { client } = scriptedClient();
  const transport = new AgentChatTransport((id) => client.chat(id));
  await transport.sendMessages(request({ chatId: "a", text: "to a" }));
  await transport.sendMessages(request({ chatId: "b", text: "to b" }));
  assert.deepEqual(["a", "b"].map((id) => client.chat(id).turns.map(({ question }) => question)), [["to a"], [
    "to b",
  ]]);
  assert.deepEqual(client.turns, []);
  assert.notEqual(await transport.reconnectToStream({ chatId: "a" }), null);
  client.close();
});

interface Resuming extends TestClient {
  server: ScriptedSocket;
  transport: AgentChatTransport;
  /** What the resume came to; undefined while it waits. */
  found(): "nothing" | "an answer" | undefined;
  abort(): void;
}

/** A chat in which this page has asked nothing is resumed. Its session has two events. */
async function resuming(): Promise<Resuming> {
  const test = scriptedClient();
  const transport = new AgentChatTransport((id) => test.client.chat(id));
  const controller = new AbortController();
  let found: "nothing" | "an answer" | undefined;
  void transport.reconnectToStream({ chatId: "c", abortSignal: controller.signal })
    .then((stream) => void (found = stream === null ? "nothing" : "an answer"));
  const server = await test.socket();
  server.welcome({ resumed: { from_seq: 1, to_seq: 2, recovered: true } });
  return { ...test, server, transport, found: () => found, abort: () => controller.abort() };
}

Deno.test("[CT22] AgentChatTransport: a resume finds an answer that only the server knows of, once all that was missed is there", async () => {
  const { client, server, found } = await resuming();
  const query = { type: "query", content: "Why?", timestamp: "" };
  server.say({ ...query, id: "x", turn_id: "t-x", seq: 1 });
  await settle();
  assert.equal(found(), undefined);
  server.say({ ...query, id: "y", turn_id: "t-y", seq: 2 });
  await settle();
  assert.equal(found(), "an answer");
  client.close();
});

Deno.test("[CT22] AgentChatTransport: a resume finds nothing if every answer has ended, or if it is aborted", async () => {
  const ended = await resuming();
  ended.server.say({ type: "query", content: "Why?", timestamp: "", id: "x", turn_id: "t-x", seq: 1 });
  ended.server.response("x", 2, "Because.");
  await settle();
  assert.equal(ended.found(), "nothing");
  ended.client.close();

  const aborted = await resuming();
  aborted.abort();
  await settle();
  assert.equal(aborted.found(), "nothing");
  aborted.client.close();
});

Deno.test("[CT22] AgentChatTransport: a resume does not end the question that is asked meanwhile", async () => {
  const { client, server, transport, found } = await resuming();
  await transport.sendMessages(request({ id: "m" }));
  server.say({ type: "query", content: "Why?", timestamp: "", id: "x", turn_id: "t-x", seq: 1 });
  server.response("x", 2, "Because.");
  await settle();
  // The AI SDK takes "nothing" as the end of what the chat was doing.
  assert.equal(found(), undefined);
  server.response("m", 3, "Because.");
  await settle();
  assert.equal(found(), "nothing");
  client.close();
});

Deno.test("[CT22] AgentChatTransport: of the chats in which nothing is asked, the three that were used last are connected", async () => {
  const { client, sockets, socket } = scriptedClient();
  const transport = new AgentChatTransport((id) => client.chat(id));
  const opened = new Map<string, ScriptedSocket>();
  const open = async (chatId: string): Promise<void> => {
    const resumed = transport.reconnectToStream({ chatId });
    const server = await socket();
    server.welcome();
    assert.equal(await resumed, null);
    opened.set(chatId, server);
  };
  const closed = (): string[] =>
    Array.from(opened).filter(([, { closedWith }]) => closedWith !== undefined).map(([id]) => id);
  await open("asking");
  client.chat("asking").query("Why?", { id: "w" });
  for (const id of ["a", "b", "c"]) await open(id);
  assert.deepEqual(closed(), []);
  await open("d");
  assert.deepEqual(closed(), ["a"]);
  // Used again, it is connected again, and asks.
  const count = sockets.length;
  await transport.sendMessages(request({ chatId: "a", id: "m" }));
  assert.deepEqual(closed(), ["a", "b"]);
  const server = await socket();
  server.welcome();
  assert.deepEqual([sockets.length, server.asked], [count + 1, ["m"]]);
  client.close();
});

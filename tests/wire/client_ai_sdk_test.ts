/** The AI SDK's own chat (which `useChat` wraps) over the transport, against the real stack. */

import assert from "node:assert/strict";
import type { UIMessage } from "ai";
import { AgentChatTransport } from "../../client/ai_sdk.ts";
import { AgentClient } from "../../client/client.ts";
import type { AgentClientError } from "../../client/error.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { Chat, textOf } from "../support/plain_chat.ts";
import { MemoryStorage } from "../support/scripted_sockets.ts";

interface Page {
  client: AgentClient;
  chat: Chat;
}

async function withChat(
  body: (
    page: Page,
    more: { model: HandModel; stack: TestStack; reload(messages?: UIMessage[]): Page },
  ) => Promise<void>,
): Promise<void> {
  await using model = new HandModel();
  const env = { AUTH_MODE: "none", RATE_LIMIT_PER_MINUTE: "0" };
  await withLocalStack({ model: { baseUrl: model.baseUrl }, env }, async (stack) => {
    const storage = new MemoryStorage();
    const pages: Page[] = [];
    const open = (messages: UIMessage[] = []): Page => {
      const url = `${stack.url}/functions/v1/agent_websocket`;
      const client = new AgentClient(url, { storage, reasoning: true });
      const page = { client, chat: new Chat({ transport: new AgentChatTransport(client), messages }) };
      pages.push(page);
      return page;
    };
    try {
      await body(open(), { model, stack, reload: open });
    } finally {
      for (const { client } of pages) client.close();
    }
  });
}

Deno.test("[DL2] the AI SDK's chat shows an answer as it is written, with what the server tells of it", async () => {
  await withChat(async ({ chat }, { model }) => {
    const sent = chat.sendMessage({ text: "What is a WebSocket?" }, { body: { priority: "high" } });
    const exchange = await model.next();
    assert.equal(exchange.question, "What is a WebSocket?");
    exchange.say("A pipe ");
    await eventually("the first words", () => textOf(chat.lastMessage) === "A pipe ");
    assert.equal(chat.status, "streaming");
    exchange.say("with two ends");
    exchange.finish();
    await sent;
    assert.equal(chat.status, "ready");
    assert.equal(textOf(chat.lastMessage), "A pipe with two ends");
    const { turnId, model: name, usage } = chat.lastMessage?.metadata as Record<string, unknown>;
    assert.equal(typeof turnId, "string");
    assert.equal(name, "test/model");
    assert.equal((usage as { total_tokens: number }).total_tokens, 8);

    const again = chat.regenerate();
    const second = await model.next();
    assert.equal(second.question, "What is a WebSocket?");
    second.say("Two tins and a string");
    second.finish();
    await again;
    assert.deepEqual(chat.messages.map(({ role }) => role), ["user", "assistant"]);
    assert.equal(textOf(chat.lastMessage), "Two tins and a string");
  });
});

Deno.test("[RE1] what the model thinks is in reasoning parts, in their order with the text", async () => {
  await withChat(async ({ chat }, { model }) => {
    const parts = (): string[] =>
      (chat.lastMessage?.parts ?? []).flatMap((part) =>
        part.type === "reasoning" || part.type === "text" ? [`${part.type} ${part.state}: ${part.text}`] : []
      );
    const sent = chat.sendMessage({ text: "Why?" });
    const exchange = await model.next();
    exchange.think("Let me ");
    await eventually("the first thought", () => parts().join() === "reasoning streaming: Let me ");
    exchange.think("see.");
    await eventually("the next thought", () => parts().join() === "reasoning streaming: Let me see.");
    exchange.say("Because. ");
    await eventually("the first words", () => parts().length === 2);
    exchange.think("Is it?");
    await eventually("the second thought", () => parts().length === 3);
    exchange.say("Or not.");
    exchange.finish();
    await sent;
    assert.deepEqual(parts(), [
      "reasoning done: Let me see.",
      "text done: Because. ",
      "reasoning done: Is it?",
      "text done: Or not.",
    ]);
    assert.equal(textOf(chat.lastMessage), "Because. Or not.");
  });
});

Deno.test("[NT1] what another function sends meanwhile is a data part", async () => {
  await withChat(async ({ client, chat }, { model, stack }) => {
    const sent = chat.sendMessage({ text: "a story" });
    const exchange = await model.next();
    let posts = 0;
    const isNotice = ({ type }: { type: string }): boolean => type === "data-notification";
    // A notification posted before the worker has joined the relay reaches no client.
    const notice = await eventually("the part", async () => {
      const response = await fetch(`${stack.url}/functions/v1/notify_websocket`, {
        method: "POST",
        headers: { apikey: stack.keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({
          session_id: client.session?.id,
          id: `n${++posts}`,
          message: { content: "Ready", data: { n: 1 } },
        }),
      });
      assert.equal(response.status, 202);
      await response.body?.cancel();
      return chat.lastMessage?.parts.find(isNotice);
    });
    assert.deepEqual((notice as { data?: unknown }).data, {
      content: "Ready",
      code: undefined,
      data: { n: 1 },
      source: undefined,
    });
    exchange.say("Once.");
    exchange.finish();
    await sent;
    assert.equal(textOf(chat.lastMessage), "Once.");
  });
});

Deno.test("[CT13] stop cancels the turn, and keeps what was written", async () => {
  await withChat(async ({ client, chat }, { model }) => {
    const sent = chat.sendMessage({ text: "a long story" });
    const exchange = await model.next();
    exchange.say("Once upon ");
    await eventually("the first words", () => textOf(chat.lastMessage) === "Once upon ");
    await chat.stop();
    await sent;
    assert.equal(chat.status, "ready");
    await eventually("the end of the request to the model", () => exchange.abortedAt);
    assert.equal((await client.turns[0]?.final)?.outcome, "cancelled");
    assert.equal(textOf(chat.lastMessage), "Once upon ");
  });
});

Deno.test("[MD1] a failed answer is the chat's error, with its code", async () => {
  await withChat(async ({ chat }, { model }) => {
    const sent = chat.sendMessage({ text: "a story" });
    const exchange = await model.next();
    exchange.say("Once ");
    await eventually("the first words", () => textOf(chat.lastMessage) === "Once ");
    exchange.breakOff();
    await sent;
    assert.equal(chat.status, "error");
    assert.equal((chat.error as AgentClientError).code, "model_stream_broken");
    assert.equal(textOf(chat.lastMessage), "Once ");
    await assert.doesNotReject(chat.resumeStream());
    assert.equal(chat.status, "ready");
  });
});

Deno.test("[CT17] [RS6] a page loaded anew resumes the answer into the same message", async () => {
  await withChat(async ({ client, chat }, { model, reload }) => {
    void chat.sendMessage({ text: "a story" });
    const exchange = await model.next();
    exchange.say("Once upon ");
    await eventually("the first words", () => textOf(chat.lastMessage) === "Once upon ");
    const kept = structuredClone(chat.messages);
    // The old page is gone without a close, and so is its socket.
    const { chat: after } = reload(kept);
    const resumed = after.resumeStream();
    await eventually("the words so far", () => after.status === "streaming");
    exchange.say("a time");
    exchange.finish();
    await resumed;
    assert.deepEqual(after.messages.map(({ role }) => role), ["user", "assistant"]);
    assert.equal(textOf(after.lastMessage), "Once upon a time");
    assert.equal(after.lastMessage?.id, kept.at(-1)?.id);
    assert.equal(client.status, "open");
    await after.resumeStream();
    assert.equal(after.status, "ready");
    assert.equal(after.messages.length, 2);
  });
});

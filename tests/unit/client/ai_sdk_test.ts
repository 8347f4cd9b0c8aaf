/** The transport of the AI SDK over a scripted server: the chunks of one answer. */

import assert from "node:assert/strict";
import type { UIMessageChunk } from "ai";
import { AgentChatTransport } from "../../../client/ai_sdk.ts";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient, type ScriptedSocket } from "../../support/scripted_sockets.ts";

/** Asks "Why?" and returns the chunks of the answer, as `answer` scripts it. */
async function chunksOf(answer: (server: ScriptedSocket) => Promise<void>): Promise<UIMessageChunk[]> {
  const { client, welcomed } = scriptedClient({ reasoning: true });
  const server = await welcomed();
  const stream = await new AgentChatTransport(client).sendMessages({
    trigger: "submit-message",
    chatId: "c",
    messageId: undefined,
    messages: [{ id: "m", role: "user", parts: [{ type: "text", text: "Why?" }] }],
    abortSignal: undefined,
  });
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

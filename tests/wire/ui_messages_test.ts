/** The AI SDK's own checks take the messages that we make. They need permissions, so that this is not a unit test. */

import assert from "node:assert/strict";
import { convertToModelMessages, type UIMessage, validateUIMessages } from "ai";
import { type AgentMessageMetadata, toUIMessages } from "../../client/ui_messages.ts";
import { toUIMessages as withTools } from "../../client/tool_messages.ts";
import { cancelled, query } from "../support/log_events.ts";
import { clientOf, CONVERSATION, rowsOf } from "../support/session_rows.ts";
import { STATES, STEPS } from "../support/tool_logs.ts";

/** Checks messages as they are, and after they went from a server to a page as JSON. */
async function assertValid(messages: UIMessage<AgentMessageMetadata>[]): Promise<void> {
  assert.ok(messages.length > 0);
  for (const given of [messages, JSON.parse(JSON.stringify(messages))]) {
    assert.deepEqual(await validateUIMessages<UIMessage>({ messages: given }), messages);
  }
  const forModel = await convertToModelMessages(messages);
  assert.deepEqual(forModel.map(({ role }) => role), messages.map(({ role }) => role));
}

Deno.test("toUIMessages: the AI SDK takes the messages of a session's rows", async () => {
  await assertValid(toUIMessages(rowsOf(CONVERSATION)));
});

Deno.test("toUIMessages with tools: the AI SDK takes a part of every state", async () => {
  for (const log of [STEPS, STATES, [...STATES, cancelled("b")]]) {
    const messages = withTools(rowsOf(log));
    for (const given of [messages, JSON.parse(JSON.stringify(messages))]) {
      assert.deepEqual(await validateUIMessages<UIMessage>({ messages: given }), messages);
    }
    const forModel = await convertToModelMessages(messages as UIMessage[]);
    assert.equal(forModel[0]?.role, "user");
  }
});

Deno.test("client.messages: the AI SDK takes them at every moment of an answer", async () => {
  const { client, socket } = await clientOf([...CONVERSATION, query("other", "Another tab's")]);
  await assertValid(client.messages);
  const turn = client.query("Why?", { id: "mine" });
  await assertValid(client.messages);
  const ids = { turn_id: "t", in_reply_to: turn.id, timestamp: "" };
  socket.say({ ...ids, type: "reasoning", offset: 0, content: "Hm." });
  await assertValid(client.messages);
  socket.say({ ...ids, type: "delta", offset: 0, content: "Be" });
  await assertValid(client.messages);
  assert.equal(client.messages.at(-1)?.parts.length, 2);
  socket.response(turn.id, 100, "Because.", { turn_id: "t" });
  await assertValid(client.messages);
});

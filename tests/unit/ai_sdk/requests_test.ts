/** The requests of the AI SDK's transport: what they ask, and which are refused. */

import assert from "node:assert/strict";
import {
  type Question,
  questionOf as readQuestion,
} from "../../../supabase/functions/_shared/ai_sdk/question.ts";
import {
  decodeRequest,
  requestIdOf,
  type SendRequest,
} from "../../../supabase/functions/_shared/ai_sdk/requests.ts";
import { startAgent, type TestAgent, until } from "../../support/agent_harness.ts";
import { type AiSdkPage, openPage } from "../../support/ai_sdk_page.ts";
import { settle } from "../../support/manual_clock.ts";

const USER = { id: "m1", role: "user", parts: [{ type: "text", text: "Hi" }] };
const SEND = { type: "send", requestId: "r1", id: "c1", trigger: "submit-message", messages: [USER] };

const questionOf = (request: SendRequest): Question => readQuestion(request, 65_536);

function send(fields: Record<string, unknown>): SendRequest {
  const decoded = decodeRequest(JSON.stringify({ ...SEND, ...fields }));
  assert.ok("request" in decoded && decoded.request.type === "send", JSON.stringify(decoded));
  return decoded.request;
}

Deno.test("[AS2] the three frames of the transport, as text and as bytes", () => {
  const frames = [
    {
      type: "send",
      requestId: "r1",
      id: "c1",
      trigger: "submit-message",
      messages: [],
      headers: {},
      body: {},
    },
    { type: "resume", requestId: "r1", id: "c1", headers: {}, body: {}, metadata: { any: 1 } },
    { type: "abort", requestId: "r1" },
  ];
  for (const frame of frames) {
    const text = JSON.stringify(frame);
    for (const data of [text, new TextEncoder().encode(text).buffer]) {
      const decoded = decodeRequest(data);
      assert.ok("request" in decoded);
      assert.deepEqual([decoded.request.type, decoded.request.requestId], [frame.type, "r1"]);
    }
  }
});

Deno.test("[AS12] a frame that is none of them closes the socket with 1008, and says what is wrong", async () => {
  const wrong: readonly [frame: unknown, reason: RegExp][] = [
    ["no json", /JSON object/],
    ["[]", /JSON object/],
    ["null", /JSON object/],
    [new Uint8Array([0xff, 0xfe]).buffer, /JSON object/],
    [{ type: "resume", id: "c1" }, /"requestId" must be a string of 1 to 128 characters/],
    [{ ...SEND, requestId: "" }, /"requestId"/],
    [{ ...SEND, requestId: "r".repeat(129) }, /"requestId"/],
    [{ ...SEND, requestId: "\ud800" }, /"requestId"/],
    [{ ...SEND, type: "query" }, /"type" must be send, resume or abort/],
    [{ ...SEND, id: 7 }, /"id" must be/],
    [{ ...SEND, id: "a\0b" }, /"id" must be/],
    [{ type: "resume", requestId: "r1" }, /"id" must be/],
    [{ ...SEND, trigger: "sent" }, /"trigger" must be submit-message or regenerate-message/],
    [{ ...SEND, messageId: 7 }, /"messageId" must be a string/],
    [{ ...SEND, messages: {} }, /"messages" must be a list/],
    [{ ...SEND, body: "x" }, /"body" must be an object/],
  ];
  const agent = startAgent();
  for (const [frame, reason] of wrong) {
    const page = await openPage(agent);
    page.say(frame);
    agent.clock.advance(250);
    assert.equal(page.closed?.code, 1008);
    assert.match(page.closed?.reason ?? "", reason);
    assert.ok((page.closed?.reason ?? "").length <= 123);
    assert.deepEqual(page.frames, []);
    page.vanish();
  }
  const page = await openPage(agent);
  page.say({ ...SEND });
  page.say({ ...SEND });
  agent.clock.advance(250);
  assert.deepEqual(page.closed, { code: 1008, reason: 'Cannot take request: its "requestId" is in use' });
});

Deno.test("[AS4] the question is the text of the last user message, under the message's id", () => {
  const parts = [
    { type: "text", text: "one " },
    { type: "data-x", data: {} },
    { type: "text", text: "two", state: "done" },
  ];
  const messages = [
    { id: "m0", role: "user", parts: [{ type: "file", url: "x" }] },
    {
      id: "a0",
      role: "assistant",
      parts: [],
    },
    { id: "m1", role: "user", parts },
    { id: "a1", role: "assistant", parts: [] },
  ];
  const body = { priority: "high", policy: "latest", options: { model: "m" }, other: 1 };
  assert.deepEqual(questionOf(send({ messages, body })), {
    query: {
      type: "query",
      id: "m1",
      content: "one two",
      priority: "high",
      policy: "latest",
      options: { model: "m" },
    },
  });
  const unnamed = questionOf(send({ messages: [{ ...USER, id: "x".repeat(129) }] }));
  assert.equal(unnamed.query.id, "r1", "a message without a usable id has the request's");
});

Deno.test("[AS4] a message with files, without text or without a shape is refused, and nothing else is", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  let refusals = 0;
  const refused: readonly [messages: unknown, error: RegExp][] = [
    [[], /^content_required: .*must have one of the user/],
    [[{ ...USER, role: "assistant" }], /^content_required: /],
    [[{ ...USER, parts: [] }], /^content_required: /],
    [[{ ...USER, parts: "Hi" }], /^invalid_frame: .*"parts" must be a list/],
    [[{ ...USER, parts: ["Hi"] }], /^invalid_frame: .*a part must be an object/],
    [
      [{ ...USER, parts: [...USER.parts, { type: "file", mediaType: "image/png", url: "data:" }] }],
      /^invalid_frame: Cannot take files: the agent takes text/,
    ],
  ];
  for (const [messages, error] of refused) {
    const request = page.request({ ...SEND, requestId: `refused ${refusals++}`, messages });
    await settle();
    assert.match(page.errorOf(request) ?? "nothing", error);
  }
  assert.equal(page.closed, undefined);
  assert.equal(agent.model.calls.length, 0);
});

Deno.test("[AS5] an edit and a regenerated answer are queries of their own that replace the message's", () => {
  const text = "Hi";
  const plain = { type: "query", id: "m1", content: text } as const;
  const replacing = { query: { ...plain, id: "m1~r1", replaces: "m1" }, otherwise: plain };
  assert.deepEqual(questionOf(send({ messageId: "m1" })), replacing);
  assert.deepEqual(questionOf(send({ trigger: "regenerate-message" })), replacing);
  assert.deepEqual(questionOf(send({ trigger: "regenerate-message", messageId: "a1" })), replacing);
  // Another message's id: nothing was edited.
  assert.deepEqual(questionOf(send({ messageId: "a1" })), { query: plain });
  const edited = questionOf(send({ messageId: "m1~r0", messages: [{ ...USER, id: "m1~r0" }] }));
  assert.deepEqual([edited.query.id, edited.query.replaces], ["m1~r1", "m1~r0"]);
  const long = "m".repeat(128);
  const cut = questionOf(send({ messageId: long, messages: [{ ...USER, id: long }] }));
  assert.deepEqual([cut.query.id, cut.query.replaces], ["r1", long]);
});

Deno.test("[AS12] a frame that is too large is refused by the request id at its beginning", () => {
  assert.equal(requestIdOf(JSON.stringify({ type: "send", requestId: "r1", id: "c1" })), "r1");
  assert.equal(requestIdOf(JSON.stringify({ type: "abort", requestId: "r1" })), undefined);
  assert.equal(requestIdOf(JSON.stringify({ requestId: "r1", type: "send" })), undefined);
  assert.equal(requestIdOf(new ArrayBuffer(8)), undefined);
});

/** The conversation that the model was last asked to continue, as `role: content`. */
function promptOf({ model }: TestAgent): string[] {
  return model.last.request.messages.slice(1).map(({ role, content }) => `${role}: ${content}`);
}

async function answered(agent: TestAgent, page: AiSdkPage, request: string, answer: string): Promise<void> {
  await until(() => agent.model.calls.some(({ open }) => open));
  agent.model.last.finish(answer);
  await until(() => page.types(request).includes("end"));
}

Deno.test("[AS4] [AS5] the model sees the conversation without what was replaced", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const message = (id: string, text: string): unknown => ({
    id,
    role: "user",
    parts: [{ type: "text", text }],
  });
  await answered(agent, page, page.ask("A joke?", { id: "m1" }), "Joke 1");
  await answered(agent, page, page.ask("Another?", { id: "m2" }), "Joke 2");
  const regenerate = { trigger: "regenerate-message" };
  await answered(agent, page, page.ask("Another?", { id: "m2", ...regenerate }), "Joke 3");
  assert.deepEqual(promptOf(agent), ["user: A joke?", "assistant: Joke 1", "user: Another?"]);
  await answered(agent, page, page.ask("Another?", { id: "m2", ...regenerate }), "Joke 4");
  assert.deepEqual(promptOf(agent), ["user: A joke?", "assistant: Joke 1", "user: Another?"]);
  await answered(agent, page, page.ask("And more?", { id: "m3" }), "Joke 5");
  assert.deepEqual(promptOf(agent), [
    "user: A joke?",
    "assistant: Joke 1",
    "user: Another?",
    "assistant: Joke 4",
    "user: And more?",
  ]);
  // An edit of the first message, whose id stays.
  const edit = page.ask("", { messageId: "m1", messages: [message("m1", "A poem?")] });
  await answered(agent, page, edit, "Poem");
  assert.deepEqual(promptOf(agent), ["user: A poem?"]);
  // Regenerated on a page that knows the message by its first id.
  await answered(agent, page, page.ask("A poem?", { id: "m1", ...regenerate }), "Poem 2");
  assert.deepEqual(promptOf(agent), ["user: A poem?"]);
});

Deno.test("[AS5] what is regenerated while it is written is stopped first", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const first = page.ask("A story", { id: "m1" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(first) === "Once ");
  const second = page.ask("A story", { id: "m1", trigger: "regenerate-message" });
  await until(() => agent.model.calls.length === 2);
  assert.ok(agent.model.calls[0]?.aborted);
  await until(() => page.types(first).includes("end"));
  assert.deepEqual(page.chunks(first).at(-1), { type: "abort", reason: "superseded" });
  agent.model.last.finish("Twice");
  await until(() => page.types(second).includes("end"));
  assert.equal(page.text(second), "Twice");
});

Deno.test("[AS5] a message that the log does not have is asked as a new one", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const request = page.ask("Did it arrive?", { id: "lost", trigger: "regenerate-message" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.finish("Now it has");
  await until(() => page.types(request).includes("end"));
  assert.equal(page.text(request), "Now it has");
  // From now on it is known by its own id.
  const again = page.ask("Did it arrive?", { id: "lost", trigger: "regenerate-message" });
  await until(() => agent.model.calls.length === 2);
  assert.deepEqual(promptOf(agent), ["user: Did it arrive?"]);
  agent.model.last.finish("It has");
  await until(() => page.types(again).includes("end"));
});

Deno.test("[AS4] the same message again is the same question: its answer is sent from the beginning", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const first = page.ask("A story", { id: "m1" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(first) === "Once ");
  page.vanish();
  const again = await openPage(agent);
  const second = again.ask("A story", { id: "m1" });
  await until(() => again.text(second) === "Once ");
  agent.model.last.finish("upon a time");
  await until(() => again.types(second).includes("end"));
  const third = again.ask("A story", { id: "m1" });
  await until(() => again.types(third).includes("end"));
  assert.deepEqual([again.text(second), again.text(third)], ["Once upon a time", "Once upon a time"]);
  assert.equal(agent.model.calls.length, 1);
  const other = again.ask("Another story", { id: "m1" });
  await until(() => again.errorOf(other) !== undefined);
  assert.match(again.errorOf(other) ?? "", /^id_conflict: /);
});

import assert from "node:assert/strict";
import {
  formAfter,
  formFor,
  PLAIN_FORM,
  type PromptForm,
  writeMessages,
} from "../../../supabase/functions/_shared/openrouter/prompt_form.ts";
import type { ModelMessage } from "../../../supabase/functions/_shared/ports/model.ts";
import { delta, ending } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const EXTRA = { google: { thought_signature: "c2ln" } };
const DETAILS = [{ type: "reasoning.text", text: "Hm", index: 0, signature: "s" }];
const STEP: readonly ModelMessage[] = [
  { role: "user", content: "What is open?" },
  {
    role: "assistant",
    content: "",
    calls: [{ id: "c00000000", name: "find_orders", arguments: '{"status":"open"}' }],
    reasoningDetails: [
      ...DETAILS,
      { type: "reasoning_content", text: "Hm" },
      { type: "tool_calls", calls: [{ id: "call_1", extra_content: EXTRA }] },
    ],
  },
  { role: "tool", content: "[]", callId: "c00000000" },
];
const CALL = { type: "function", function: { name: "find_orders", arguments: '{"status":"open"}' } };

const write = (
  messages: readonly ModelMessage[],
  form: Partial<PromptForm> = {},
  dialect = "openai" as const,
): unknown[] => writeMessages(messages, { dialect, form: { ...PLAIN_FORM, ...form } });

Deno.test("writeMessages: calls and results in OpenAI's words; null for no text, and no reasoning", () => {
  assert.deepEqual(write(STEP), [
    { role: "user", content: "What is open?" },
    { role: "assistant", content: null, tool_calls: [{ id: "call_1", ...CALL, extra_content: EXTRA }] },
    { role: "tool", tool_call_id: "call_1", content: "[]" },
  ]);
  const [, step = assert.fail()] = STEP;
  assert.equal((write([{ ...step, content: "Let me look." }])[0] as ModelMessage).content, "Let me look.");
});

Deno.test("writeMessages: OpenRouter gets back its own reasoning, unchanged, and only that", () => {
  const [, step] = writeMessages(STEP, { dialect: "openrouter", form: PLAIN_FORM }) as [
    unknown,
    Record<string, unknown>,
  ];
  assert.deepEqual(step.reasoning_details, DETAILS);
  assert.ok(!("reasoning_content" in step));
});

Deno.test("writeMessages: reasoning_content where the endpoint wants it; something where the model did not think, if it insists", () => {
  const [, step = assert.fail()] = STEP;
  const unthought = { ...step, reasoningDetails: DETAILS };
  const [kept, left] = write([step, unthought], { reasoningContent: "known" }) as Record<string, unknown>[];
  assert.equal(kept?.reasoning_content, "Hm");
  assert.ok(!("reasoning_content" in (left ?? {})));
  const written = write([step, unthought], { reasoningContent: "always" });
  assert.deepEqual(written.map((message) => (message as Record<string, unknown>).reasoning_content), [
    "Hm",
    " ",
  ]);
});

Deno.test("writeMessages: Mistral gets ids of 9 letters and digits, the same for a call and its result", () => {
  const ids = ["call_1", "functions.find_orders:0", "D681PevKs", "call_2"];
  const calls = ids.map((id) => ({ id, name: "f", arguments: "{}" }));
  const results = ids.map((callId): ModelMessage => ({ role: "tool", content: "1", callId }));
  const [step, ...answers] = write([{ role: "assistant", content: "", calls }, ...results], {
    shortIds: true,
  }) as [
    { tool_calls: { id: string }[] },
    ...{ tool_call_id: string }[],
  ];
  const written = step.tool_calls.map(({ id }) => id);
  assert.ok(written.every((id) => /^[a-zA-Z0-9]{9}$/.test(id)), written.join());
  assert.equal(written[2], "D681PevKs");
  assert.equal(new Set(written).size, ids.length);
  assert.deepEqual(answers.map(({ tool_call_id }) => tool_call_id), written);
});

Deno.test("writeMessages: the provider's own ids are those of calls and results, unless two steps have the same", () => {
  const step = (id: string): readonly ModelMessage[] => [
    {
      role: "assistant",
      content: "",
      calls: [{ id, name: "f", arguments: "{}" }],
      reasoningDetails: [{ type: "tool_calls", calls: [{ id: "functions.f:0" }] }],
    },
    { role: "tool", content: "1", callId: id },
  ];
  const written = write([...step("c00000000"), ...step("c00010000")]) as Record<string, unknown>[];
  const ids = written.map((message) =>
    message.tool_call_id ?? (message.tool_calls as { id: string }[] | undefined)?.[0]?.id
  );
  assert.deepEqual(ids, ["functions.f:0", "functions.f:0", "c00010000", "c00010000"]);
});

Deno.test("writeMessages: what a model made up does not make every later prompt invalid", () => {
  const written = (name: string, input: string): unknown => {
    const calls = [{ id: "c", name, arguments: input }];
    const [step] = write([{ role: "assistant", content: "", calls }]) as {
      tool_calls: { function: unknown }[];
    }[];
    return step?.tool_calls[0]?.function;
  };
  assert.deepEqual(written("functions.find orders", "{}"), {
    name: "functions_find_orders",
    arguments: "{}",
  });
  assert.deepEqual(written("x".repeat(70), "{}"), { name: "x".repeat(64), arguments: "{}" });
  for (const input of ['{"a":', "[1]", "1001"]) {
    assert.deepEqual(written("", input), {
      name: "_",
      arguments: JSON.stringify({ invalid_arguments: input }),
    });
  }
});

Deno.test("writeMessages: a message without calls has nothing but what it says", () => {
  const message: ModelMessage = { role: "assistant", content: "Hi", calls: [], reasoningDetails: DETAILS };
  assert.deepEqual(write([message]), [{ role: "assistant", content: "Hi" }]);
});

Deno.test("writeMessages: Mistral gets an assistant's message between results and the next question", () => {
  const roles = (form: Partial<PromptForm>): unknown[] =>
    write([...STEP, { role: "user", content: "And now?" }], form).map((message) =>
      (message as ModelMessage).role
    );
  assert.deepEqual(roles({}), ["user", "assistant", "tool", "user"]);
  assert.deepEqual(roles({ closesSteps: true }), ["user", "assistant", "tool", "assistant", "user"]);
});

Deno.test("writeMessages: Gemini gets Google's placeholder in the first call of a step without a signature, and only there", () => {
  const [, step = assert.fail()] = STEP;
  const calls = ["c00000000", "c00000001"].map((id) => ({ id, name: "f", arguments: "{}" }));
  const signatures = (reasoningDetails: readonly unknown[] = []): unknown => {
    const [written] = write([{ ...step, calls, reasoningDetails }], { signsCalls: true }) as {
      tool_calls: { extra_content?: unknown }[];
    }[];
    return written?.tool_calls.map(({ extra_content }) => extra_content);
  };
  const placeholder = { google: { thought_signature: "skip_thought_signature_validator" } };
  assert.deepEqual(signatures(), [placeholder, undefined]);
  assert.deepEqual(signatures(step.reasoningDetails), [EXTRA, undefined]);
});

Deno.test("formFor: known hosts", () => {
  const wants = (baseUrl: string): unknown => {
    const { shortIds, closesSteps, reasoningContent } = formFor(baseUrl);
    assert.equal(closesSteps, shortIds);
    return [shortIds, reasoningContent];
  };
  assert.deepEqual(wants("https://api.mistral.ai/v1"), [true, "never"]);
  assert.deepEqual(wants("https://api.deepseek.com/beta"), [false, "known"]);
  assert.deepEqual(wants("https://api.moonshot.cn/v1"), [false, "known"]);
  assert.deepEqual(wants("https://notmistral.ai.example/v1"), [false, "never"]);
});

const NO_TOOL_CONFIG =
  "The toolConfig field must be defined when using toolUse and toolResult content blocks.";

/** What servers say, and what they want. */
const REFUSALS: Record<string, Partial<PromptForm>> = {
  "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.": { shortIds: true },
  "Missing `reasoning_content` field in the assistant message at message index 4.": {
    reasoningContent: "always",
  },
  "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2": {
    reasoningContent: "always",
  },
  "The `reasoning_content` in the thinking mode must be passed back to the API.": {
    reasoningContent: "always",
  },
  "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length 40.": {
    shortIds: true,
  },
  "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'": { shortIds: true },
  "Unexpected role 'user' after role 'tool'": { closesSteps: true },
  "Function call is missing a thought_signature in functionCall parts.": { signsCalls: true },
  '{"detail":[{"type":"extra_forbidden","loc":["body","messages",1,"tool_calls",0,"extra_content"]}]}': {
    extraContent: false,
  },
  [NO_TOOL_CONFIG]: { definesCalled: true },
  "Requests which include `tool_use` or `tool_result` blocks must define tools": { definesCalled: true },
  "Bedrock doesn't support tool calling without `tools=` param specified.": { definesCalled: true },
};

for (const [detail, change] of Object.entries(REFUSALS)) {
  Deno.test(`formAfter: ${detail.slice(0, 60)}`, () => {
    const changed = { ...PLAIN_FORM, ...change };
    assert.deepEqual(formAfter({ status: 400, detail }, PLAIN_FORM), changed);
    assert.equal(formAfter({ status: 400, detail }, changed), undefined);
    assert.equal(formAfter({ status: 429, detail }, PLAIN_FORM), undefined);
  });
}

Deno.test("createOpenRouter: a gateway that refuses the form of the calls gets another one at once, and is remembered", async () => {
  const provider = new FakeProvider();
  const model = provider.model({ baseUrl: "https://gateway.test/v1" });
  const request = { ...QUESTION, messages: STEP };
  provider.respond(
    400,
    '{"message":"Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."}',
  );
  provider.stream(delta("Nothing."), ending());
  await new Asked(model, request).reply;
  provider.stream(delta("Nothing."), ending());
  await new Asked(model, request).reply;
  const ids = provider.requests.map(({ body }) =>
    (body as { messages: { tool_call_id: string }[] }).messages[2]?.tool_call_id
  );
  assert.equal(ids[0], "call_1", "the provider's own");
  assert.match(ids[1] ?? "", /^[a-z0-9]{9}$/);
  assert.equal(ids[2], ids[1]);
  assert.deepEqual(provider.log.map(({ event, field }) => [event, field]), [[
    "model_prompt_rewritten",
    "shortIds",
  ]]);
});

Deno.test("createOpenRouter: an endpoint that refuses every form is not asked for ever", async () => {
  const provider = new FakeProvider();
  for (let n = 0; n < 5; n++) provider.respond(400, Object.keys(REFUSALS).join(" "));
  await assert.rejects(new Asked(provider.model(), { ...QUESTION, messages: STEP }).reply, {
    code: "model_rejected",
  });
  assert.equal(provider.requests.length, 4);
});

Deno.test("createOpenRouter: where no tool is offered any more, those of earlier calls are defined if the endpoint wants it", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  provider.respond(400, JSON.stringify({ message: NO_TOOL_CONFIG }));
  provider.stream(delta("Nothing."), ending());
  await new Asked(model, { ...QUESTION, messages: STEP }).reply;
  const tools = provider.requests.map(({ body }) =>
    (body as { tools?: { function: { name: string } }[] }).tools
  );
  assert.equal(tools[0], undefined);
  assert.deepEqual(tools[1]?.map((tool) => tool.function.name), ["find_orders"]);
});

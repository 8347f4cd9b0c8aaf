/** Requests with tools, from the request to the calls of the reply. */

import assert from "node:assert/strict";
import type { ModelMessage, ModelRequest } from "../../../supabase/functions/_shared/ports/model.ts";
import { requestFields } from "../../../supabase/functions/_shared/openrouter/request.ts";
import { ANCHOR_REQUEST } from "../../../supabase/functions/_shared/openrouter/continuation/ways.ts";
import { readBegun } from "../../../supabase/functions/_shared/openrouter/continuation/begun_answer.ts";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, finish, sse } from "../../support/model_stream.ts";
import { CALL_STYLES, callStream, type CallStyle, keepsIds } from "../../support/tool_call_streams.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const FIND = { id: "call_1", name: "find_orders", arguments: '{"status":"open"}' };
const REFUND = { id: "call_2", name: "refund_order", arguments: '{"order_id":"1001","amount":25}' };
const TOOLS = [FIND, REFUND].map(({ name }) => ({
  name,
  description: `Does ${name}.`,
  parameters: { type: "object", properties: {} },
}));
const OFFERING: ModelRequest = { ...QUESTION, tools: TOOLS };
/** A question with a step behind it. */
const STEP: readonly ModelMessage[] = [
  { role: "user", content: "Hello?" },
  { role: "assistant", content: "", calls: [FIND] },
  { role: "tool", content: "[]", callId: FIND.id },
];
const bodyOf = (provider: FakeProvider, index: number): Record<string, unknown> =>
  provider.requests[index]?.body as Record<string, unknown>;
const chunk = (fields: object): string =>
  sse({ choices: [{ index: 0, delta: fields, finish_reason: null }] });
const call = (index: number, { id, name, arguments: input }: typeof FIND): string =>
  chunk({ tool_calls: [{ index, id, function: { name, arguments: input } }] });

Deno.test("requestFields: tools in OpenAI's words, without a choice; no field for none", () => {
  assert.deepEqual(requestFields(OFFERING, "openai").tools, [
    { type: "function", function: TOOLS[0] },
    { type: "function", function: TOOLS[1] },
  ]);
  assert.ok(!("tool_choice" in requestFields(OFFERING, "openai")));
  for (const request of [QUESTION, { ...QUESTION, tools: [] }]) {
    assert.ok(!("tools" in requestFields(request, "openrouter")));
  }
});

for (const style of Object.keys(CALL_STYLES) as CallStyle[]) {
  Deno.test(`createOpenRouter: calls of a server with ${style}`, async () => {
    for (const reason of ["tool_calls", "stop", null]) {
      const provider = new FakeProvider();
      provider.stream(callStream(style, [FIND, REFUND], { text: "Let me look.", reason }));
      const asked = new Asked(provider.model(), OFFERING);
      const { calls = [], finishReason } = await asked.reply;
      assert.equal(finishReason, "tool_calls");
      assert.equal(asked.text, "Let me look.");
      const made = keepsIds(style)
        ? calls
        : calls.map((each, index) => ({ ...each, id: [FIND, REFUND][index]?.id }));
      assert.deepEqual(made, [FIND, REFUND]);
    }
  });
}

Deno.test("createOpenRouter: calls that nobody offered are no answer, and beside text they are not there", async () => {
  const provider = new FakeProvider();
  provider.stream(callStream("OpenAI", [FIND]));
  await assert.rejects(new Asked(provider.model()).reply, { code: "empty_answer" });
  provider.stream(callStream("OpenAI", [FIND], { text: "Hi" }));
  assert.ok(!("calls" in await new Asked(provider.model()).reply));
});

Deno.test("createOpenRouter: a reply without calls has none, with tools too, and no reasoning to hand back", async () => {
  const provider = new FakeProvider();
  provider.stream(
    chunk({ reasoning_details: [{ type: "reasoning.text", text: "Hm", index: 0 }] }),
    delta("Hi"),
    ending(),
  );
  const reply = await new Asked(provider.model({ dialect: "openrouter" }), OFFERING).reply;
  assert.ok(!("calls" in reply) && !("reasoningDetails" in reply));
});

Deno.test("createOpenRouter: reasoning details are joined by index, type and id", async () => {
  const provider = new FakeProvider();
  const details = (...list: object[]): string => chunk({ content: "", reasoning_details: list });
  const text = { type: "reasoning.text", format: "anthropic-claude-v1", index: 0 };
  provider.stream(
    details({ ...text, text: "Which " }),
    details({ ...text, text: "orders?", signature: null }),
    details({ ...text, signature: "c2ln" }),
    details({ type: "reasoning.summary", summary: "Look", index: 1 }),
    details({ type: "reasoning.summary", summary: " up.", index: 1 }),
    details({ type: "reasoning.encrypted", data: "ZDE=", id: "call_1", index: 0 }),
    details({ type: "reasoning.encrypted", data: "ZDI=", id: "call_2", index: 0 }),
    call(0, FIND),
    finish("tool_calls"),
  );
  const asked = new Asked(provider.model({ dialect: "openrouter" }), OFFERING);
  const { reasoningDetails } = await asked.reply;
  assert.deepEqual(reasoningDetails, [
    { ...text, text: "Which orders?", signature: "c2ln" },
    { type: "reasoning.summary", summary: "Look up.", index: 1 },
    { type: "reasoning.encrypted", data: "ZDE=", id: "call_1", index: 0 },
    { type: "reasoning.encrypted", data: "ZDI=", id: "call_2", index: 0 },
    // The encrypted ones name the calls by their ids.
    { type: "tool_calls", calls: [{ id: "call_1" }] },
  ]);
  assert.equal(asked.thoughts.join(""), "Which orders?Look up.");
});

Deno.test("createOpenRouter: DeepSeek's thoughts come back to it with its calls", async () => {
  const provider = new FakeProvider();
  const model = provider.model({ baseUrl: "https://api.deepseek.com/v1" });
  provider.stream(
    chunk({ reasoning_content: "Look " }),
    chunk({ reasoning_content: "up." }),
    call(0, FIND),
    finish("tool_calls"),
  );
  const { reasoningDetails = [] } = await new Asked(model, OFFERING).reply;
  provider.stream(delta("None."), ending());
  const messages = STEP.map((each) => each.calls === undefined ? each : { ...each, reasoningDetails });
  await new Asked(model, { ...OFFERING, messages }).reply;
  const [, step] = bodyOf(provider, 1).messages as Record<string, unknown>[];
  assert.equal(step?.reasoning_content, "Look up.");
});

Deno.test("createOpenRouter: new ids differ from those in the prompt", async () => {
  const provider = new FakeProvider();
  provider.stream(callStream("OpenAI", [FIND]));
  const { calls = [] } = await new Asked(provider.model(), { ...OFFERING, messages: STEP }).reply;
  assert.match(calls[0]?.id ?? "", /^[a-z0-9]{9}$/);
});

Deno.test("createOpenRouter: a stream that breaks in its first call is asked for again; behind a whole call it is not", async () => {
  const provider = new FakeProvider();
  provider.stream(call(0, { ...FIND, arguments: '{"sta' }));
  provider.stream(call(0, FIND), call(1, { ...REFUND, arguments: "{" }));
  const asked = new Asked(provider.model({ maxRetries: 5 }), OFFERING);
  await settle();
  provider.clock.advance(250);
  await assert.rejects(asked.reply, { code: "model_stream_broken", retryable: true });
  assert.equal(provider.requests.length, 2);
});

Deno.test("createOpenRouter: a call is the model's first word, and a silence in it is a stall", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ firstTokenTimeoutMs: 1000, stallTimeoutMs: 5000 }), OFFERING);
  await settle();
  stream.write(call(0, { ...FIND, arguments: "{" }));
  await settle();
  provider.clock.advance(4999);
  await settle();
  assert.ok(!asked.ended);
  provider.clock.advance(1);
  await assert.rejects(asked.reply, { code: "model_timeout" });
});

Deno.test("createOpenRouter: calls behind a finish reason that came by itself are part of the reply", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model(), OFFERING);
  stream.write(delta("One moment.") + finish());
  await settle();
  stream.write(call(0, FIND) + finish());
  stream.end();
  assert.deepEqual((await asked.reply).calls, [FIND]);
});

Deno.test("createOpenRouter: behind calls and their reason the usage is waited for, and no longer", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model(), OFFERING);
  stream.write(call(0, FIND) + finish("tool_calls"));
  await settle();
  assert.ok(!asked.ended);
  provider.clock.advance(2000);
  assert.deepEqual((await asked.reply).calls, [FIND]);
  assert.equal(provider.clock.pending, 0);
});

const BEGUN = `${Array.from({ length: 10 }, (_, n) => `This is sentence ${n} of the answer.`).join(" ")} `;
const CONTINUED = { ...OFFERING, messages: STEP, partial: BEGUN };
const ANCHOR = readBegun(BEGUN).anchor ?? "";
const RESULT = { role: "tool", tool_call_id: FIND.id, content: "[]" };

Deno.test("[TO7] an answer behind tool results is continued with them and with the tools, in each way", async () => {
  const provider = new FakeProvider();
  provider.respond(400, "no prefill");
  provider.stream(delta("Something else entirely, without the words that were asked for. ".repeat(5)));
  provider.stream(delta("Anew."), ending());
  const asked = new Asked(provider.model({ prefillModels: ["*"] }), CONTINUED);
  assert.deepEqual((await asked.reply).continued, { ways: ["prefill", "anchored", "restart"] });
  const tails = provider.requests.map((_, index) => (bodyOf(provider, index).messages as object[]).slice(2));
  assert.deepEqual(tails, [
    [RESULT, { role: "assistant", content: BEGUN.trimEnd() }],
    [RESULT, { role: "assistant", content: BEGUN.trimEnd() }, {
      role: "user",
      content: `${ANCHOR_REQUEST}\n\n${ANCHOR}`,
    }],
    [RESULT],
  ]);
  for (const index of [0, 1, 2]) assert.equal((bodyOf(provider, index).tools as unknown[]).length, 2);
});

Deno.test("[TO7] a reply that only calls tools leaves the answer so far as it is, in each way", async () => {
  for (const prefillModels of [["*"], []]) {
    const provider = new FakeProvider();
    provider.stream(callStream("OpenAI", [REFUND]));
    const asked = new Asked(provider.model({ prefillModels }), CONTINUED);
    const { calls, continued } = await asked.reply;
    assert.deepEqual(calls, [REFUND]);
    assert.deepEqual(continued, { ways: [prefillModels.length > 0 ? "prefill" : "anchored"] });
    assert.deepEqual([asked.text, asked.restarts], ["", []]);
  }
  const provider = new FakeProvider();
  provider.stream(callStream("OpenAI", [REFUND]));
  const asked = new Asked(provider.model(), { ...CONTINUED, partial: "Short." });
  assert.deepEqual((await asked.reply).calls, [REFUND]);
  assert.deepEqual([asked.text, asked.restarts], ["", []]);
});

Deno.test("[TO7] a continued reply may call tools behind its text", async () => {
  const provider = new FakeProvider();
  provider.stream(callStream("OpenAI", [REFUND], { text: `${ANCHOR} Refunding now.` }));
  const asked = new Asked(provider.model(), CONTINUED);
  assert.deepEqual((await asked.reply).calls, [REFUND]);
  assert.equal(asked.text, "Refunding now.");
});

Deno.test("[TO7] where no way brings an answer behind a whole call, nothing is asked again", async () => {
  const provider = new FakeProvider();
  provider.stream(call(0, FIND), call(1, REFUND));
  await assert.rejects(new Asked(provider.model({ maxRetries: 3 }), CONTINUED).reply, {
    code: "model_stream_broken",
  });
  assert.equal(provider.requests.length, 1);
});

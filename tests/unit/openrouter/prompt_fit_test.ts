import assert from "node:assert/strict";
import fc from "fast-check";
import {
  keepHalf,
  keepQuestion,
  PromptFit,
} from "../../../supabase/functions/_shared/openrouter/prompt_fit.ts";
import type { ModelMessage, ModelRequest } from "../../../supabase/functions/_shared/ports/model.ts";

/** A conversation with exchanges of these lengths, half question and half answer, and a question. */
function conversation(
  lengths: readonly number[],
  question = 10,
  fields: Partial<ModelRequest> = {},
): ModelRequest {
  const exchanges = lengths.flatMap((length, index): ModelMessage[] => [
    { role: "user", content: String(index % 10).repeat(Math.floor(length / 2)) },
    { role: "assistant", content: String(index % 10).repeat(Math.ceil(length / 2)) },
  ]);
  const messages: ModelMessage[] = [
    { role: "system", content: "s".repeat(10) },
    ...exchanges,
    { role: "user", content: "?".repeat(question) },
  ];
  return { messages, partial: "", models: ["m"], ...fields };
}

/** How many exchanges are left. */
function exchangesIn(messages: readonly ModelMessage[]): number {
  return (messages.length - 2) / 2;
}

function charsOf(messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, { content }) => sum + content.length, 0);
}

Deno.test("[QU13] PromptFit: without a limit nothing is left out", () => {
  const request = conversation([100_000, 100_000]);
  const fit = new PromptFit(0);
  fit.learn(request, 1_000_000);
  assert.equal(fit.fit(request), request.messages);
});

Deno.test("[QU13] PromptFit: at four characters a token, the oldest exchanges go first, whole", () => {
  // 20 characters always stay.
  const request = conversation([40, 40, 40]);
  const kept = (maxTokens: number): readonly ModelMessage[] => new PromptFit(maxTokens).fit(request);
  assert.equal(kept(35), request.messages);
  assert.deepEqual([34, 25, 24, 15, 14, 1].map((tokens) => exchangesIn(kept(tokens))), [2, 2, 1, 1, 0, 0]);
  assert.deepEqual(kept(25), [request.messages[0], ...request.messages.slice(3)]);
});

Deno.test("[QU13] PromptFit: the beginning of the answer counts, and the question always stays", () => {
  const request = conversation([40], 10_000);
  assert.equal(exchangesIn(new PromptFit(10).fit(request)), 0);
  const begun = conversation([40], 10, { partial: "p".repeat(40) });
  assert.equal(exchangesIn(new PromptFit(25).fit(begun)), 1);
  assert.equal(exchangesIn(new PromptFit(24).fit(begun)), 0);
});

Deno.test("[QU13] PromptFit: what the provider counts corrects the estimate, for each model", () => {
  const fit = new PromptFit(5000);
  const request = conversation(Array(9).fill(1000));
  assert.equal(fit.fit(request), request.messages);
  // As for Chinese: a token a character.
  fit.learn(request, charsOf(request.messages));
  assert.equal(exchangesIn(fit.fit(request)), 5);
  assert.equal(exchangesIn(fit.fit({ ...request, models: ["other"] })), 9);
  for (let times = 0; times < 10; times++) fit.learn(request, charsOf(request.messages) / 4);
  assert.equal(exchangesIn(fit.fit(request)), 9);
});

Deno.test("[QU13] PromptFit: a short prompt says little of the ratio, and no count spoils it", () => {
  const fit = new PromptFit(5000);
  const request = conversation(Array(9).fill(1000));
  // A template of the provider's own is most of it.
  fit.learn(conversation([]), 40);
  assert.equal(exchangesIn(fit.fit(request)), 9);
  for (let times = 0; times < 20; times++) fit.learn(request, 1e9);
  assert.equal(exchangesIn(fit.fit(request)), 3);
  for (let times = 0; times < 200; times++) fit.learn(request, 1);
  assert.equal(exchangesIn(fit.fit(conversation(Array(100).fill(1000)))), 39);
});

Deno.test("[QU13] keepHalf: the newest half of the history, or less if less fits", () => {
  assert.equal(exchangesIn(keepHalf(conversation([40, 40, 40, 40]))), 2);
  assert.equal(exchangesIn(keepHalf(conversation([40, 40, 40]))), 1);
  assert.equal(exchangesIn(keepHalf(conversation([40]))), 0);
  assert.equal(exchangesIn(keepHalf(conversation([1000, 40, 40]))), 2);
  assert.equal(exchangesIn(keepHalf(conversation([40, 40, 1000]))), 0);
  assert.equal(exchangesIn(keepHalf(conversation(Array(10).fill(40)), 0.3)), 2);
});

Deno.test("[QU13] keepQuestion: the system prompt and the question", () => {
  const { messages } = conversation([40, 40]);
  assert.deepEqual(keepQuestion({ messages }), [messages[0], messages.at(-1)]);
});

/** A question, a call, its result and perhaps an answer: 40 characters with one, 30 without. */
function step(answer: readonly ModelMessage[]): ModelMessage[] {
  return [
    { role: "user", content: "?".repeat(10) },
    { role: "assistant", content: "", calls: [{ id: "c", name: "find", arguments: '{"a":1' }] },
    { role: "tool", content: "r".repeat(10), callId: "c" },
    ...answer,
  ];
}

Deno.test("[QU13] PromptFit: calls and results go with their question, and count", () => {
  const answer: ModelMessage = { role: "assistant", content: "a".repeat(10) };
  const messages = [
    ...conversation([]).messages.slice(0, 1),
    ...step([answer]),
    ...step([answer]),
    ...step([]),
  ];
  const request = { ...conversation([]), messages };
  const kept = (maxTokens: number): number => new PromptFit(maxTokens).fit(request).length;
  // 10 + 30 characters stay, and each exchange has 40.
  assert.deepEqual([30, 29, 20, 19, 1].map(kept), [12, 8, 8, 4, 4]);
  for (const tokens of [29, 19, 1]) {
    const [system, ...rest] = new PromptFit(tokens).fit(request);
    assert.equal(system, messages[0]);
    assert.deepEqual(rest, messages.slice(-rest.length));
    assert.equal(rest[0]?.role, "user");
  }
  assert.deepEqual(keepQuestion(request), [messages[0], ...messages.slice(-3)]);
  assert.equal(keepHalf(request).length, 8);
});

Deno.test("[QU13] PromptFit: the tools count", () => {
  const request = conversation([40]);
  const tools = [{ name: "f", description: "d".repeat(400), parameters: {} }];
  assert.equal(new PromptFit(100).fit(request), request.messages);
  assert.equal(exchangesIn(new PromptFit(100).fit({ ...request, tools })), 0);
});

Deno.test("[QU13] whatever the conversation, its newest part is left, and fits or is the question alone", () => {
  const lengths = fc.array(fc.integer({ min: 2, max: 500 }), { maxLength: 20 });
  const anyTokens = fc.integer({ min: 1, max: 2000 });
  fc.assert(fc.property(lengths, fc.nat({ max: 500 }), anyTokens, (exchanges, question, tokens) => {
    const request = conversation(exchanges, question);
    const fitted = new PromptFit(tokens).fit(request);
    const half = keepHalf(request);
    for (const messages of [fitted, half, keepHalf(request, 0.2)]) {
      const [system, ...rest] = messages;
      assert.equal(system, request.messages[0]);
      assert.deepEqual(rest, request.messages.slice(-rest.length));
      assert.equal(rest[0]?.role, "user");
    }
    assert.ok(charsOf(fitted) <= 4 * tokens || exchangesIn(fitted) === 0);
    assert.ok(exchanges.length === 0 || half.length < request.messages.length);
  }));
});

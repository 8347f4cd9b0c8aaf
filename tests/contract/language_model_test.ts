/** The contract of the {@linkcode LanguageModel} port: the test double and the client over real HTTP must agree. */

import assert from "node:assert/strict";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type { ModelReply, ModelRequest } from "../../supabase/functions/_shared/ports/model.ts";
import { AimockProvider, type ModelProvider, RawProvider, ScriptedProvider } from "./model_providers.ts";

const PROVIDERS: readonly (new () => ModelProvider)[] = [ScriptedProvider, AimockProvider, RawProvider];

/** Starts a reply and collects the pieces of its text. */
function ask(
  provider: ModelProvider,
  question: string,
  signal = new AbortController().signal,
  fields: Partial<ModelRequest> = {},
): {
  reply: Promise<ModelReply>;
  pieces: string[];
} {
  const pieces: string[] = [];
  const reply = provider.model.reply(
    {
      messages: [{ role: "user", content: question }],
      partial: "",
      models: ["test/model"],
      temperature: 0.7,
      maxTokens: 100,
      ...fields,
    },
    { onText: (text) => void pieces.push(text), signal },
  );
  // The test decides whether and when to await it.
  reply.catch(() => {});
  return { reply, pieces };
}

for (const Provider of PROVIDERS) {
  const test = (name: string, body: (provider: ModelProvider) => Promise<void>): void =>
    Deno.test(`LanguageModel, ${Provider.name}: ${name}`, async () => {
      const provider = new Provider();
      await provider.start();
      try {
        await body(provider);
      } finally {
        await provider.stop();
      }
    });

  test("text comes in order, whole, and never empty; then how it ended", async (provider) => {
    const text = "Grüße, 世界! " + "All work and no play makes Jack a dull boy. ".repeat(20);
    await provider.answer("tell", {
      text,
      usage: { prompt_tokens: 7, completion_tokens: 9, total_tokens: 16, cost: 0.25 },
    });
    const { reply, pieces } = ask(provider, "tell");
    // Only some providers have an id for the reply.
    const { generationId: _, ...outcome } = await reply;
    assert.deepEqual(outcome, {
      finishReason: "stop",
      model: "test/model",
      usage: { prompt_tokens: 7, completion_tokens: 9, total_tokens: 16, cost: 0.25 },
    });
    assert.equal(pieces.join(""), text);
    assert.ok(!pieces.includes(""));
  });

  test("tools are called: text first, then whole calls with their ids; their results are part of a prompt", async (provider) => {
    const calls = [
      { id: "call_1", name: "find_orders", arguments: '{"status":"open"}' },
      { id: "call_2", name: "find_orders", arguments: '{"status":"zurückgeschickt"}' },
    ];
    const parameters = { type: "object", properties: { status: { type: "string" } } };
    const tools = [{ name: "find_orders", description: "Finds orders.", parameters }];
    for (const text of ["Let me look into your orders.", ""]) {
      await provider.answer(`look up ${text.length}`, { text, calls });
      const { reply, pieces } = ask(provider, `look up ${text.length}`, undefined, { tools });
      const { finishReason, calls: called } = await reply;
      assert.deepEqual([pieces.join(""), finishReason, called], [text, "tool_calls", calls]);
    }
    await provider.answer("put it in words", { text: "There are none." });
    const { reply, pieces } = ask(provider, "", undefined, {
      tools,
      messages: [
        { role: "user", content: "put it in words" },
        { role: "assistant", content: "", calls },
        ...calls.map(({ id }) => ({ role: "tool" as const, content: "[]", callId: id })),
      ],
    });
    assert.ok(!("calls" in await reply));
    assert.equal(pieces.join(""), "There are none.");
  });

  test("an abort rejects with its reason within a second, and the provider sees it", async (provider) => {
    await provider.answer("talk on", { text: "On and on. ".repeat(40), pieceMs: 50 });
    const abort = new AbortController();
    const { reply, pieces } = ask(provider, "talk on", abort.signal);
    await provider.begun("talk on");
    while (pieces.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const reason = new Error("cancelled");
    const abortedAt = performance.now();
    abort.abort(reason);
    await assert.rejects(reply, (thrown) => thrown === reason);
    await provider.gaveUp();
    assert.ok(performance.now() - abortedAt < 1000);
    const { length } = pieces;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(pieces.length, length);
  });

  test("an abort before the first text, and one before the call", async (provider) => {
    await provider.answer("wait", { text: "never", pieceMs: 5000 });
    const abort = new AbortController();
    const { reply } = ask(provider, "wait", abort.signal);
    await provider.begun("wait");
    abort.abort();
    await assert.rejects(reply, { name: "AbortError" });
    await assert.rejects(ask(provider, "wait", abort.signal).reply, { name: "AbortError" });
  });

  test("a failure is an AgentError with a code of the model's", async (provider) => {
    const failures = [
      [400, "model_rejected", false],
      [401, "model_unauthorized", false],
      [402, "model_unauthorized", false],
      [429, "model_rate_limited", true],
      [500, "model_unavailable", true],
    ] as const;
    for (const [status, code, retryable] of failures) {
      const question = `fail with ${status}`;
      await provider.fail(question, status);
      const thrown = await ask(provider, question).reply.catch((reason: unknown) => reason);
      assert.ok(thrown instanceof AgentError, String(thrown));
      assert.deepEqual([thrown.code, thrown.retryable], [code, retryable]);
    }
  });

  test("replies at the same time do not mix", async (provider) => {
    const names = Array.from({ length: 12 }, (_, index) => `question ${String.fromCharCode(97 + index)}`);
    for (const name of names) await provider.answer(name, { text: `${name} `.repeat(30), pieceMs: 2 });
    const asked = names.map((name) => ask(provider, name));
    await Promise.all(asked.map(({ reply }) => reply));
    assert.deepEqual(asked.map(({ pieces }) => pieces.join("")), names.map((name) => `${name} `.repeat(30)));
  });
}

/** The client over real sockets: failures that only a network has. */

import assert from "node:assert/strict";
import {
  createOpenRouter,
  type OpenRouterOptions,
} from "../../supabase/functions/_shared/openrouter/open_router.ts";
import { ReadPacer } from "../../supabase/functions/_shared/openrouter/read_pacer.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type { LanguageModel, ModelReply } from "../../supabase/functions/_shared/ports/model.ts";
import { delta, ending, finish, sse } from "../support/model_stream.ts";
import { CUT, HOLD, RawModelServer, type RawStep, RESET } from "../support/raw_model_server.ts";

function modelOf(server: RawModelServer, options: Partial<OpenRouterOptions> = {}): LanguageModel {
  return createOpenRouter({
    baseUrl: server.baseUrl,
    maxRetries: 0,
    firstTokenTimeoutMs: 10_000,
    stallTimeoutMs: 10_000,
    clock: systemClock(),
    random: () => 0,
    fetch,
    log: { write: () => {} },
    ...options,
  });
}

function ask(model: LanguageModel, signal = new AbortController().signal): {
  reply: Promise<ModelReply>;
  pieces: string[];
} {
  const pieces: string[] = [];
  const request = { messages: [{ role: "user" as const, content: "Hello? 世界" }], models: ["test/model"] };
  const reply = model.reply({ ...request, partial: "", temperature: 0.7, maxTokens: 100 }, {
    onText: (text) => void pieces.push(text),
    signal,
  });
  // The test decides whether and when to await it.
  reply.catch(() => {});
  return { reply, pieces };
}

const BREAKS: Record<string, readonly RawStep[]> = {
  "a reset connection": [{ waitMs: 50 }, RESET],
  "a closed connection": [{ waitMs: 50 }, CUT],
  "an end without a finish reason": [],
};

for (const [name, end] of Object.entries(BREAKS)) {
  Deno.test(`createOpenRouter: ${name} in mid-stream is a broken stream, its text stays`, async () => {
    await using server = await RawModelServer.start();
    server.answer({ steps: [delta("Half of "), { waitMs: 20 }, delta("it"), ...end] });
    const { reply, pieces } = ask(modelOf(server));
    await assert.rejects(reply, { code: "model_stream_broken", retryable: true });
    assert.equal(pieces.join(""), "Half of it");
  });
}

Deno.test("createOpenRouter: retries a connection that is reset before the first text", async () => {
  await using server = await RawModelServer.start();
  server.answer({ steps: [": OPENROUTER PROCESSING\n\n", { waitMs: 20 }, RESET] });
  server.answer({ steps: [delta("At last"), ending()] });
  const { reply, pieces } = ask(modelOf(server, { maxRetries: 1 }));
  await reply;
  assert.deepEqual(pieces, ["At last"]);
  assert.equal(server.requests.length, 2);
});

Deno.test("createOpenRouter: nobody there means unavailable", async () => {
  const server = await RawModelServer.start();
  await server.close();
  await assert.rejects(ask(modelOf(server)).reply, { code: "model_unavailable", retryable: true });
});

Deno.test("createOpenRouter: of a line of 10 MiB no more is taken than an event may have", async () => {
  await using server = await RawModelServer.start();
  const mebibyte = "x".repeat(1_048_576);
  server.answer({ steps: [delta("So far"), "data: ", ...Array.from({ length: 10 }, () => mebibyte), HOLD] });
  const { reply, pieces } = ask(modelOf(server));
  await assert.rejects(reply, { code: "model_stream_broken" });
  assert.deepEqual(pieces, ["So far"]);
  assert.ok(await (await server.request(0)).disconnected);
});

Deno.test("createOpenRouter: a stall ends the request, and one before the first text is retried", async () => {
  await using server = await RawModelServer.start();
  server.answer({ steps: [": OPENROUTER PROCESSING\n\n", HOLD] });
  server.answer({ steps: [delta("So far"), HOLD] });
  const { reply, pieces } = ask(modelOf(server, { maxRetries: 2, stallTimeoutMs: 200 }));
  await assert.rejects(reply, { code: "model_timeout", retryable: true });
  assert.deepEqual(pieces, ["So far"]);
  assert.equal(server.requests.length, 2);
  for (const { disconnected } of server.requests) assert.ok(await disconnected);
});

Deno.test("createOpenRouter: waits for Retry-After", async () => {
  await using server = await RawModelServer.start();
  server.answer({
    status: 429,
    headers: { "retry-after": "1", "content-type": "application/json" },
    steps: ["{}"],
  });
  server.answer({ steps: [delta("At last"), ending()] });
  const startedAt = performance.now();
  await ask(modelOf(server, { maxRetries: 1 })).reply;
  assert.ok(performance.now() - startedAt >= 990);
});

Deno.test("createOpenRouter: asks in UTF-8, at the base's path", async () => {
  await using server = await RawModelServer.start();
  server.answer({ steps: [delta("Hi"), ending()] });
  await ask(modelOf(server, { apiKey: "sk-or-test" })).reply;
  const { method, path, headers, body } = await server.request(0);
  assert.deepEqual([method, path], ["POST", "/api/v1/chat/completions"]);
  assert.equal(headers.get("authorization"), "Bearer sk-or-test");
  assert.deepEqual(body, {
    model: "test/model",
    messages: [{ role: "user", content: "Hello? 世界" }],
    temperature: 0.7,
    max_tokens: 100,
    stream: true,
    stream_options: { include_usage: true },
  });
});

Deno.test("createOpenRouter: reads a whole answer to its end, so that nobody takes it for a cancel", async () => {
  await using server = await RawModelServer.start();
  server.answer({ steps: [delta("All"), ending(), { waitMs: 20 }] });
  await ask(modelOf(server)).reply;
  assert.equal(await (await server.request(0)).disconnected, false);
});

Deno.test("createOpenRouter: an answer is at its end with [DONE], even if the connection stays open", async () => {
  await using server = await RawModelServer.start();
  server.answer({ steps: [delta("All"), finish(), sse("[DONE]"), HOLD] });
  const startedAt = performance.now();
  await ask(modelOf(server)).reply;
  assert.ok(performance.now() - startedAt < 1000);
  assert.ok(await (await server.request(0)).disconnected);
});

Deno.test("createOpenRouter: many paced streams arrive whole, in fewer pieces", async () => {
  await using server = await RawModelServer.start();
  const words = Array.from({ length: 100 }, (_, index) => `${index} `);
  server.answer({ steps: [...words.flatMap((word): RawStep[] => [delta(word), { waitMs: 10 }]), ending()] });
  const model = modelOf(server, { pacer: new ReadPacer({ clock: systemClock() }) });
  const asked = Array.from({ length: 12 }, () => ask(model));
  for (const { reply, pieces } of asked) {
    assert.equal((await reply).usage?.total_tokens, 8);
    assert.equal(pieces.join(""), words.join(""));
    // One piece per word in the first half second, then one per tick.
    assert.ok(pieces.length < 85, String(pieces.length));
  }
});

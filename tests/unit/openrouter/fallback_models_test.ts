import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const REQUEST = { ...QUESTION, models: ["a/one", "b/two", "c/three"] };
const MISSING = JSON.stringify({ error: { message: "The model does not exist", code: "model_not_found" } });

function modelsAsked(provider: FakeProvider): unknown[] {
  return provider.requests.map(({ body }) => (body as { model: string }).model);
}

/** Failures after which another model may answer. */
const PASSING: Record<string, (provider: FakeProvider) => void> = {
  "429": (provider) => provider.respond(429, "", { "retry-after": "60" }),
  "503": (provider) => provider.respond(503, ""),
  "no connection": (provider) => provider.refuse(new TypeError("error sending request")),
  "404": (provider) => provider.respond(404, MISSING),
  "400 that says the model is not there": (provider) => provider.respond(400, MISSING),
  "a question that is too long for it": (provider) =>
    provider.respond(400, '{"code":"context_length_exceeded"}'),
  "an error in the stream": (provider) => provider.stream(sse({ error: { code: 502, message: "x" } })),
};

for (const [name, fail] of Object.entries(PASSING)) {
  Deno.test(`[MD4] the next model is asked at once after ${name}`, async () => {
    const provider = new FakeProvider();
    fail(provider);
    provider.stream(
      sse({ choices: [{ delta: { content: "Hi" } }] }),
      sse({ choices: [{ delta: {}, finish_reason: "stop" }] }),
    );
    const reply = await new Asked(provider.model(), REQUEST).reply;
    assert.equal(reply.model, "b/two");
    assert.deepEqual(modelsAsked(provider), ["a/one", "b/two"]);
    const [{ event, model } = assert.fail()] = provider.log;
    assert.deepEqual([event, model], ["model_attempt_failed", "a/one"]);
  });
}

const LASTING: Record<string, (provider: FakeProvider) => void> = {
  "400": (provider) => provider.respond(400, "no"),
  "401": (provider) => provider.respond(401, ""),
  "402": (provider) => provider.respond(402, ""),
  "what fails after its first text": (provider) =>
    provider.stream(delta("So"), sse({ error: { code: 502 } })),
};

for (const [name, fail] of Object.entries(LASTING)) {
  Deno.test(`[MD4] no other model is asked after ${name}`, async () => {
    const provider = new FakeProvider();
    fail(provider);
    await assert.rejects(new Asked(provider.model(), REQUEST).reply);
    assert.deepEqual(modelsAsked(provider), ["a/one"]);
    assert.equal(provider.log.length, 1);
  });
}

Deno.test("[MD4] after the last model the first is asked again, as often as MAX_RETRIES says", async () => {
  const provider = new FakeProvider();
  for (let times = 0; times < 3; times++) provider.respond(503, "");
  provider.stream(delta("At last"), ending());
  const asked = new Asked(provider.model({ maxRetries: 1 }), REQUEST);
  await settle();
  assert.deepEqual(modelsAsked(provider), ["a/one", "b/two", "c/three"]);
  provider.clock.advance(250);
  await asked.reply;
  assert.deepEqual(modelsAsked(provider), ["a/one", "b/two", "c/three", "a/one"]);
  assert.deepEqual(provider.log.map(({ attempt, retry_in_ms }) => [attempt, retry_in_ms]), [
    [1, undefined],
    [1, undefined],
    [1, 250],
  ]);
});

Deno.test("[MD4] a fallback that does not exist does not hide that the wanted model may be back", async () => {
  const provider = new FakeProvider();
  provider.respond(503, "");
  provider.respond(404, MISSING);
  const request = { ...QUESTION, models: ["a/one", "b/two"] };
  await assert.rejects(new Asked(provider.model(), request).reply, {
    code: "model_unavailable",
    retryable: true,
  });
});

Deno.test("[MD4] OpenRouter gets one request with all models", async () => {
  const provider = new FakeProvider();
  provider.respond(503, "");
  await assert.rejects(new Asked(provider.model({ dialect: "openrouter" }), REQUEST).reply);
  assert.deepEqual(provider.requests.map(({ body }) => (body as { models: unknown }).models), [
    REQUEST.models,
  ]);
});

Deno.test("[MD4] [MD10] each model has its own repairs", async () => {
  const provider = new FakeProvider();
  provider.respond(400, JSON.stringify({ error: { message: "property 'temperature' is unsupported" } }));
  provider.respond(503, "");
  provider.stream(delta("Hi"), ending());
  await new Asked(provider.model(), REQUEST).reply;
  assert.deepEqual(provider.requests.map(({ body }) => "temperature" in (body as object)), [
    true,
    false,
    true,
  ]);
});

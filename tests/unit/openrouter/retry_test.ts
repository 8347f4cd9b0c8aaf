import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider } from "./fake_provider.ts";

/** One failure each; the provider has the answer ready for the second request. */
const PASSING: Record<string, (provider: FakeProvider) => void> = {
  "no connection": (provider) => provider.refuse(new TypeError("error sending request")),
  "408": (provider) => provider.respond(408, ""),
  "429": (provider) => provider.respond(429, ""),
  "500": (provider) => provider.respond(500, ""),
  "503": (provider) => provider.respond(503, ""),
  "an error in the stream": (provider) => provider.stream(sse({ error: { code: 502, message: "x" } })),
  "a broken stream": (provider) => provider.stream(": OPENROUTER PROCESSING\n\n"),
  "a stream that breaks off while the model thinks": (provider) =>
    provider.stream(sse({ choices: [{ delta: { reasoning: "Hm" } }] })),
  "an error in the stream in words": (provider) =>
    provider.stream(sse({ error: { type: "overloaded_error" } })),
  "an answer of nothing": (provider) => provider.stream(ending()),
};

for (const [name, fail] of Object.entries(PASSING)) {
  Deno.test(`createOpenRouter: retries ${name} before the first text`, async () => {
    const provider = new FakeProvider();
    fail(provider);
    provider.stream(delta("At last"), ending());
    const asked = new Asked(provider.model({ maxRetries: 2 }));
    await settle();
    assert.equal(provider.requests.length, 1);
    provider.clock.advance(250);
    await asked.reply;
    assert.equal(asked.text, "At last");
    assert.equal(provider.log[0]?.retry_in_ms, 250);
  });
}

Deno.test("createOpenRouter: retries a stall before the first text", async () => {
  const provider = new FakeProvider();
  provider.openStream().write(": OPENROUTER PROCESSING\n\n");
  provider.stream(delta("At last"), ending());
  const asked = new Asked(provider.model({ maxRetries: 1, stallTimeoutMs: 1000 }));
  await settle();
  provider.clock.advance(1000);
  await settle();
  assert.ok(provider.requests[0]?.signal.aborted);
  provider.clock.advance(250);
  await asked.reply;
  assert.equal(asked.text, "At last");
});

const LASTING: Record<string, (provider: FakeProvider) => void> = {
  "400": (provider) => provider.respond(400, ""),
  "401": (provider) => provider.respond(401, ""),
  "402": (provider) => provider.respond(402, ""),
  "an error in the stream that is a refusal": (provider) =>
    provider.stream(sse({ error: { code: 403, message: "x" } })),
  "HTML": (provider) => provider.respond(200, "<html>", { "content-type": "text/html" }),
  "a JSON body without an answer": (provider) =>
    provider.respond(200, "{}", { "content-type": "application/json" }),
  "a quota that is used up": (provider) => provider.respond(429, `{"error":{"code":"insufficient_quota"}}`),
  "an answer of thoughts alone": (provider) =>
    provider.stream(sse({ choices: [{ delta: { reasoning: "Hm" } }] }), ending()),
  "an answer that was filtered away": (provider) => provider.stream(ending("content_filter")),
  "a redirect to nowhere": (provider) => provider.respond(304, null),
  "what fails after the first text": (provider) =>
    provider.stream(delta("So"), sse({ error: { code: 502 } })),
};

for (const [name, fail] of Object.entries(LASTING)) {
  Deno.test(`createOpenRouter: does not retry ${name}`, async () => {
    const provider = new FakeProvider();
    fail(provider);
    await assert.rejects(new Asked(provider.model({ maxRetries: 2 })).reply, { name: "AgentError" });
    assert.equal(provider.requests.length, 1);
    assert.equal(provider.clock.pending, 0);
  });
}

Deno.test("createOpenRouter: backs off twice as long each time, with jitter, and gives up after maxRetries", async () => {
  for (const [random, waits] of [[0, [250, 500, 1000]], [0.5, [375, 750, 1500]]] as const) {
    const provider = new FakeProvider();
    for (let attempt = 0; attempt < 4; attempt++) provider.respond(500, "");
    const asked = new Asked(provider.model({ maxRetries: 3, random: () => random }));
    await settle();
    for (const [index, wait] of waits.entries()) {
      assert.equal(provider.requests.length, index + 1);
      assert.equal(provider.clock.nextDelayMs, wait);
      provider.clock.advance(wait);
      await settle();
    }
    await assert.rejects(asked.reply, { code: "model_unavailable", retryable: true });
    assert.equal(provider.requests.length, 4);
    assert.deepEqual(provider.log.map((entry) => entry.retry_in_ms), [...waits, undefined]);
  }
});

Deno.test("createOpenRouter: waits as long as Retry-After says, in seconds or until a date", async () => {
  const forms = (provider: FakeProvider): string[] => [
    "7",
    new Date(provider.clock.now() + 7000).toUTCString(),
  ];
  for (const form of [0, 1]) {
    const provider = new FakeProvider();
    provider.respond(429, "", { "retry-after": forms(provider)[form] ?? "" });
    provider.stream(delta("At last"), ending());
    const asked = new Asked(provider.model({ maxRetries: 1, random: () => 0.5 }));
    await settle();
    provider.clock.advance(6999);
    await settle();
    assert.equal(provider.requests.length, 1);
    provider.clock.advance(1);
    await asked.reply;
  }
});

Deno.test("createOpenRouter: a Retry-After of more than 20 s fails at once, and says how long", async () => {
  const provider = new FakeProvider();
  provider.respond(503, "", { "retry-after": "20.001" });
  await assert.rejects(new Asked(provider.model({ maxRetries: 2 })).reply, {
    code: "model_unavailable",
    retryable: true,
    retryAfterMs: 20_001,
  });
  assert.equal(provider.requests.length, 1);

  provider.respond(429, "", { "retry-after": "20" });
  provider.stream(delta("At last"), ending());
  const asked = new Asked(provider.model({ maxRetries: 2 }));
  await settle();
  provider.clock.advance(20_000);
  await asked.reply;
});

Deno.test("createOpenRouter: the last failure passes on what Retry-After said; without it nothing", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  provider.respond(429, "", { "retry-after": "3" });
  await assert.rejects(new Asked(model).reply, { code: "model_rate_limited", retryAfterMs: 3000 });
  provider.respond(429, "");
  await assert.rejects(new Asked(model).reply, { code: "model_rate_limited", retryAfterMs: undefined });
});

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider, type FakeStream } from "./fake_provider.ts";

const STALLED = { code: "model_timeout", retryable: true, message: "the model provider stopped sending" };
const TOO_SLOW = {
  code: "model_timeout",
  retryable: true,
  message: "the model took too long to begin its answer",
};

Deno.test("createOpenRouter: a silence of stallTimeoutMs fails, one just shorter does not", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 1000 }));
  await settle();
  for (const piece of [delta("a"), ": comment\n\n", delta("b"), ": comment\n\n"]) {
    provider.clock.advance(999);
    stream.write(piece);
    await settle();
  }
  provider.clock.advance(999);
  await settle();
  assert.equal(asked.ended, false);
  provider.clock.advance(1);
  await assert.rejects(asked.reply, STALLED);
  assert.equal(asked.text, "ab");
  assert.ok(provider.requests[0]?.signal.aborted);
  assert.equal(provider.clock.pending, 0);
});

const SILENT: Record<string, (provider: FakeProvider) => FakeStream | undefined> = {
  "without headers": (provider) => void provider.keepWaiting(),
  "after its headers": (provider) => provider.openStream(),
};

for (const [name, answer] of Object.entries(SILENT)) {
  Deno.test(`[MD3] createOpenRouter: only firstTokenTimeoutMs counts for a provider that is silent ${name}`, async () => {
    const provider = new FakeProvider();
    answer(provider);
    const asked = new Asked(
      provider.model({ stallTimeoutMs: 1000, firstTokenTimeoutMs: 4500, maxRetries: 2 }),
    );
    await settle();
    for (let second = 0; second < 4; second++) {
      provider.clock.advance(1000);
      await settle();
    }
    assert.equal(asked.ended, false);
    provider.clock.advance(500);
    await assert.rejects(asked.reply, TOO_SLOW);
    assert.equal(provider.requests.length, 1, "a server that loads its model is not asked again");
    assert.equal(provider.clock.pending, 0);
  });
}

Deno.test("[MD3] createOpenRouter: a model that is loaded late answers, and the stall clock starts with its first byte", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 1000, firstTokenTimeoutMs: 60_000 }));
  await settle();
  for (let second = 0; second < 40; second++) {
    provider.clock.advance(1000);
    await settle();
  }
  stream.write(": loaded\n\n");
  await settle();
  provider.clock.advance(999);
  stream.write(delta("At last"));
  await settle();
  assert.equal(asked.text, "At last");
  provider.clock.advance(1000);
  await assert.rejects(asked.reply, STALLED);
});

Deno.test("createOpenRouter: comments do not put off firstTokenTimeoutMs, and it is not retried", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ firstTokenTimeoutMs: 2500, stallTimeoutMs: 1000, maxRetries: 2 }));
  await settle();
  for (let second = 0; second < 5; second++) {
    provider.clock.advance(499);
    stream.write(": OPENROUTER PROCESSING\n\n");
    await settle();
  }
  assert.equal(asked.ended, false);
  provider.clock.advance(5);
  await assert.rejects(asked.reply, TOO_SLOW);
  assert.equal(provider.requests.length, 1);
});

Deno.test("createOpenRouter: text and reasoning put firstTokenTimeoutMs out of force; a role does not", async () => {
  const first = [
    [delta("a"), true],
    [sse({ choices: [{ delta: { content: null, reasoning: "Hm" } }] }), true],
    [sse({ choices: [{ delta: { reasoning_content: "Hm" } }] }), true],
    [sse({ choices: [{ delta: { content: [{ type: "thinking", thinking: "Hm" }] } }] }), true],
    [delta("<think>"), true],
    [sse({ choices: [{ delta: { role: "assistant", content: "", reasoning: null } }] }), false],
  ] as const;
  for (const [piece, begins] of first) {
    const provider = new FakeProvider();
    const stream = provider.openStream();
    const asked = new Asked(provider.model({ firstTokenTimeoutMs: 1000 }));
    stream.write(piece);
    await settle();
    provider.clock.advance(10_000);
    stream.write(delta("</think>b") + ending());
    stream.end();
    if (begins) await asked.reply;
    else await assert.rejects(asked.reply, TOO_SLOW);
  }
});

Deno.test("createOpenRouter: a JSON body begins with its first character; white space before it does not", async () => {
  for (const [piece, begins] of [["\n\n", false], ["{", true]] as const) {
    const provider = new FakeProvider();
    const stream = provider.openStream();
    const asked = new Asked(provider.model({ firstTokenTimeoutMs: 1000 }));
    stream.write(piece);
    await settle();
    provider.clock.advance(10_000);
    stream.write(`${begins ? "" : "{"}"choices":[{"message":{"content":"b"}}]}`);
    stream.end();
    if (begins) await asked.reply;
    else await assert.rejects(asked.reply, TOO_SLOW);
  }
});

Deno.test("createOpenRouter: 0 switches both limits off", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ firstTokenTimeoutMs: 0, stallTimeoutMs: 0 }));
  await settle();
  assert.equal(provider.clock.pending, 0);
  stream.write(delta("a") + ending());
  stream.end();
  await asked.reply;
});

Deno.test("createOpenRouter: a long stream sets a timer now and then, not for each read", async () => {
  const provider = new FakeProvider();
  let timers = 0;
  const clock = {
    now: () => provider.clock.now(),
    after: (ms: number, task: () => void) => {
      timers++;
      return provider.clock.after(ms, task);
    },
  };
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ clock, stallTimeoutMs: 1000, firstTokenTimeoutMs: 5000 }));
  for (let read = 0; read < 100; read++) {
    stream.write(delta("x"));
    await settle(1);
    provider.clock.advance(100);
  }
  stream.write(ending());
  stream.end();
  await asked.reply;
  assert.equal(asked.text.length, 100);
  // Ten seconds with a limit of one second.
  assert.ok(timers <= 15, String(timers));
  assert.equal(provider.clock.pending, 0);
});

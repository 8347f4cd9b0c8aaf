import assert from "node:assert/strict";
import { MAX_EVENT_CHARS } from "../../../supabase/functions/_shared/openrouter/body_feed.ts";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, finish, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider } from "./fake_provider.ts";

Deno.test("createOpenRouter: hands on the text of one read at once, and of each read as it comes", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model());
  stream.write(delta("One") + delta("") + delta(" two"));
  await settle();
  assert.deepEqual(asked.pieces, ["One two"]);
  stream.write(": comment\n\n");
  await settle();
  assert.deepEqual(asked.pieces, ["One two"]);
  stream.write(delta(" three"));
  await settle();
  assert.deepEqual(asked.pieces, ["One two", " three"]);
  stream.write(ending());
  stream.end();
  assert.deepEqual(await asked.reply, {
    finishReason: "stop",
    model: "test/model",
    usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8, cost: 0.0001 },
  });
});

Deno.test("createOpenRouter: the reply names the model that was asked where the provider names none", async () => {
  const provider = new FakeProvider();
  provider.stream(sse({ choices: [{ delta: { content: "Hi" }, finish_reason: "content_filter" }] }));
  const asked = new Asked(provider.model());
  assert.deepEqual(await asked.reply, { finishReason: "content_filter", model: "test/model" });
  assert.equal(asked.text, "Hi");
});

Deno.test("createOpenRouter: a usage that makes no sense is left out, a missing total is added up", async () => {
  const usages = [
    [{ prompt_tokens: 3, completion_tokens: 5 }, { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 }],
    [{ prompt_tokens: -1, completion_tokens: 5, total_tokens: 4 }, undefined],
    [{ prompt_tokens: 3, completion_tokens: 0.5, total_tokens: 4 }, undefined],
    [{ cost: 1 }, undefined],
    [
      { prompt_tokens: 3, completion_tokens: 5, total_tokens: 9, cost: "free" },
      { prompt_tokens: 3, completion_tokens: 5, total_tokens: 9 },
    ],
    [{ prompt_tokens: 3, total_tokens: 9 }, { prompt_tokens: 3, completion_tokens: 6, total_tokens: 9 }],
    [{ prompt_tokens: 3, total_tokens: 2 }, undefined],
    [
      { prompt_tokens: 3, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 4 } },
      { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8, reasoning_tokens: 4 },
    ],
    [
      { prompt_tokens: 3, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: -1 } },
      { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
    ],
  ] as const;
  for (const [sent, reported] of usages) {
    const provider = new FakeProvider();
    provider.stream(delta("Hi"), finish(), sse({ choices: [], usage: sent }), sse("[DONE]"));
    assert.deepEqual((await new Asked(provider.model()).reply).usage, reported);
  }
});

Deno.test("createOpenRouter: [DONE] is the end, even if the connection stays open", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model());
  stream.write(delta("All") + ending());
  await settle();
  assert.equal(asked.ended, false);
  provider.clock.advance(50);
  assert.equal((await asked.reply).finishReason, "stop");
  assert.ok(stream.cancelled);
});

Deno.test("createOpenRouter: without [DONE] the usage has two seconds to follow the finish reason", async () => {
  const provider = new FakeProvider();
  const model = provider.model({ stallTimeoutMs: 500 });
  const late = provider.openStream();
  const patient = new Asked(model);
  late.write(delta("All") + finish());
  await settle();
  provider.clock.advance(1900);
  late.write(sse({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }));
  late.end();
  assert.equal((await patient.reply).usage?.total_tokens, 2);

  const silent = provider.openStream();
  const asked = new Asked(model);
  silent.write(delta("All") + finish());
  await settle();
  provider.clock.advance(2000);
  assert.deepEqual(await asked.reply, { finishReason: "stop", model: "test/model" });
  assert.ok(silent.cancelled);
});

Deno.test("createOpenRouter: once the answer is whole, a cut or garbage takes nothing back", async () => {
  const provider = new FakeProvider();
  const model = provider.model();
  const cut = provider.openStream();
  const asked = new Asked(model);
  cut.write(delta("All") + finish());
  await settle();
  cut.fail(new TypeError("connection reset"));
  assert.equal((await asked.reply).finishReason, "stop");

  provider.stream(delta("All") + finish() + "data: garbage\n\n" + sse("[DONE]"));
  assert.equal((await new Asked(model).reply).finishReason, "stop");
});

Deno.test("createOpenRouter: an event of up to a mebi character passes, a longer one fails, however it comes", async () => {
  const around = delta("").length - "data: \n\n".length;
  const fits = delta("x".repeat(MAX_EVENT_CHARS - around));
  const over = delta("x".repeat(MAX_EVENT_CHARS - around + 1));
  const cut = (text: string): string[] => text.match(/[^]{1,65536}/g) ?? [];
  for (const pieces of [[fits + ending()], cut(fits + ending())]) {
    const provider = new FakeProvider();
    const stream = provider.openStream({ type: "chunks" });
    const asked = new Asked(provider.model());
    for (const piece of pieces) stream.write(piece);
    stream.end();
    await asked.reply;
    assert.equal(asked.text.length, MAX_EVENT_CHARS - around);
  }
  // In one read, and without an end of line.
  for (const pieces of [[over + ending()], cut(over.trimEnd()), ["data: a\n", ...cut(over)]]) {
    const provider = new FakeProvider();
    const stream = provider.openStream({ type: "chunks" });
    const asked = new Asked(provider.model());
    for (const piece of pieces) stream.write(piece);
    await assert.rejects(asked.reply, { code: "model_stream_broken", retryable: true });
    assert.ok(stream.cancelled);
    assert.equal(asked.text, "");
  }
});

Deno.test("createOpenRouter: reads a body of bytes and one of chunks alike", async () => {
  for (const type of ["bytes", "chunks"] as const) {
    const provider = new FakeProvider();
    const stream = provider.openStream({ type });
    const asked = new Asked(provider.model());
    for (const word of ["a", "b", "c"]) {
      stream.write(delta(word));
      await settle();
    }
    stream.write(ending());
    stream.end();
    await asked.reply;
    assert.deepEqual(asked.pieces, ["a", "b", "c"], type);
  }
});

Deno.test("createOpenRouter: the content type is compared without case or parameters, and may be missing", async () => {
  const names = ["text/event-stream; charset=utf-8", "Text/Event-Stream", undefined];
  for (const name of names) {
    const provider = new FakeProvider();
    const stream = provider.openStream({ headers: name === undefined ? {} : { "content-type": name } });
    stream.write(delta("Hi") + ending());
    stream.end();
    const asked = new Asked(provider.model());
    await asked.reply;
    assert.equal(asked.text, "Hi", name);
  }
});

/** When an answer is at its end: finish reasons before the last text, and what may still follow. */

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, finish, sse } from "../../support/model_stream.ts";
import { Asked, FakeProvider } from "./fake_provider.ts";

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
/** A chunk of text that says that it is the last one. */
const last = (content: string): string =>
  sse({ model: "test/model", choices: [{ delta: { content }, finish_reason: "stop" }] });

Deno.test("[MD3] createOpenRouter: a finish reason with every chunk does not cut a slow answer off", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 10_000 }));
  for (const word of ["One ", "two ", "three"]) {
    stream.write(last(word));
    await settle();
    provider.clock.advance(9000);
    await settle();
  }
  assert.equal(asked.ended, false);
  stream.write(sse("[DONE]"));
  stream.end();
  assert.equal((await asked.reply).finishReason, "stop");
  assert.equal(asked.text, "One two three");
});

Deno.test("[MD3] createOpenRouter: text after a finish reason of its own renews the wait for the end", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 10_000 }));
  stream.write(delta("One ") + finish());
  await settle();
  provider.clock.advance(1900);
  stream.write(delta("two "));
  await settle();
  provider.clock.advance(5000);
  await settle();
  assert.equal(asked.ended, false);
  stream.write(delta("three") + finish("length"));
  await settle();
  provider.clock.advance(1999);
  await settle();
  assert.equal(asked.ended, false);
  provider.clock.advance(1);
  assert.equal((await asked.reply).finishReason, "length");
  assert.equal(asked.text, "One two three");
  assert.equal(provider.clock.pending, 0);
});

Deno.test("[MD3] createOpenRouter: a finish reason with the thoughts is not the end of the answer", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 10_000 }));
  stream.write(sse({ choices: [{ delta: { reasoning_content: "Hm" }, finish_reason: "stop" }] }) + finish());
  await settle();
  provider.clock.advance(9000);
  await settle();
  assert.equal(asked.ended, false);
  stream.write(delta("42") + ending());
  stream.end();
  await asked.reply;
  assert.equal(asked.text, "42");
});

Deno.test("[MD3] createOpenRouter: after a finish reason with text a silence is the end, not a stall", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 10_000, maxRetries: 2 }));
  stream.write(last("All"));
  await settle();
  provider.clock.advance(10_000);
  assert.deepEqual(await asked.reply, { finishReason: "stop", model: "test/model" });
  assert.equal(asked.text, "All");
  assert.ok(provider.requests[0]?.signal.aborted);
  assert.equal(provider.requests.length, 1);
  assert.equal(provider.clock.pending, 0);
});

Deno.test("[MD6] createOpenRouter: a finish reason without text and then silence is an empty answer", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 10_000 }));
  stream.write(finish("content_filter"));
  await settle();
  provider.clock.advance(10_000);
  await assert.rejects(asked.reply, { code: "empty_answer", retryable: false });
});

Deno.test("createOpenRouter: the usage behind a last chunk with text ends the wait", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ stallTimeoutMs: 10_000 }));
  stream.write(last("All") + sse({ choices: [], usage: USAGE }));
  await settle();
  provider.clock.advance(2000);
  assert.deepEqual(await asked.reply, { finishReason: "stop", model: "test/model", usage: USAGE });
});

Deno.test("[MD3] createOpenRouter: a cut after early finish reasons is a broken stream, unless the last was the end", async () => {
  const cuts: readonly (readonly [pieces: string, isWhole: boolean])[] = [
    [last("One "), true],
    [last("One ") + last("two "), false],
    [last("One ") + last("two ") + finish(), true],
    [finish() + delta("One "), false],
    [delta("One ") + sse("[DONE]"), true],
  ];
  for (const [pieces, isWhole] of cuts) {
    const provider = new FakeProvider();
    const stream = provider.openStream();
    const asked = new Asked(provider.model());
    stream.write(pieces);
    await settle();
    stream.fail(new TypeError("connection reset"));
    if (isWhole) assert.equal((await asked.reply).finishReason, "stop", pieces);
    else await assert.rejects(asked.reply, { code: "model_stream_broken" }, pieces);
  }
});

Deno.test("createOpenRouter: the first id of a stream is the generation's", async () => {
  const provider = new FakeProvider();
  provider.stream(
    sse({ id: "", choices: [] }),
    sse({ id: "gen-1", choices: [{ delta: { content: "Hi" } }] }),
    sse({ id: "gen-2", choices: [{ delta: {}, finish_reason: "stop" }] }),
  );
  assert.equal((await new Asked(provider.model()).reply).generationId, "gen-1");
});

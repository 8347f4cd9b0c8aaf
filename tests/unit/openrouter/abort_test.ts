import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending } from "../../support/model_stream.ts";
import { Asked, FakeProvider, QUESTION } from "./fake_provider.ts";

const REASON = new Error("cancelled by the user");
/** The last text, in an event that only the end of the stream completes. */
const UNENDED = `data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}`;

/** Lets everything finish that needs no time, aborts, and checks that this ended everything. */
async function checkAbort(provider: FakeProvider, asked: Asked): Promise<void> {
  await settle();
  assert.equal(asked.ended, false);
  asked.abort.abort(REASON);
  await assert.rejects(asked.reply, (thrown) => thrown === REASON);
  for (const { signal } of provider.requests.slice(-1)) assert.ok(signal.aborted);
  assert.equal(provider.clock.pending, 0);
}

Deno.test("createOpenRouter: an abort before the call asks nobody", async () => {
  const provider = new FakeProvider();
  const reply = provider.model().reply(QUESTION, { onText: () => {}, signal: AbortSignal.abort(REASON) });
  await assert.rejects(reply, (thrown) => thrown === REASON);
  assert.equal(provider.requests.length, 0);
});

Deno.test("createOpenRouter: an abort while the provider is silent acts at once", async () => {
  const provider = new FakeProvider();
  provider.keepWaiting();
  await checkAbort(provider, new Asked(provider.model({ maxRetries: 2, stallTimeoutMs: 1000 })));
});

Deno.test("createOpenRouter: an abort in the middle of the stream acts at once, and nothing more is handed on", async () => {
  const provider = new FakeProvider();
  const stream = provider.openStream();
  const asked = new Asked(provider.model({ maxRetries: 2, stallTimeoutMs: 1000 }));
  stream.write(delta("a"));
  await settle();
  // It is read, but not yet parsed, when the abort comes.
  stream.write(delta("b"));
  asked.abort.abort(REASON);
  await assert.rejects(asked.reply, (thrown) => thrown === REASON);
  assert.ok(provider.requests[0]?.signal.aborted);
  assert.equal(provider.clock.pending, 0);
  stream.write(delta("c") + ending());
  await settle();
  assert.equal(asked.text, "a");
  assert.equal(provider.requests.length, 1);
});

Deno.test("createOpenRouter: an abort gives the body up even where fetch does not see to it", async () => {
  const provider = new FakeProvider();
  let cancelled = false;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    type: "bytes",
    cancel: () => void (cancelled = true),
  });
  const response = new Response(body, { headers: { "content-type": "text/event-stream" } });
  const asked = new Asked(provider.model({ fetch: () => Promise.resolve(response) }));
  await checkAbort(provider, asked);
  assert.ok(cancelled);
});

Deno.test("createOpenRouter: an abort just as the response comes is not missed", async () => {
  const provider = new FakeProvider();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({ type: "bytes" });
  const response = new Response(body, { headers: { "content-type": "text/event-stream" } });
  const abort = new AbortController();
  const fetch = (): Promise<Response> => {
    abort.abort(REASON);
    return Promise.resolve(response);
  };
  const reply = provider.model({ fetch }).reply(QUESTION, { onText: () => {}, signal: abort.signal });
  await assert.rejects(reply, (thrown) => thrown === REASON);
});

Deno.test("createOpenRouter: an abort during a backoff acts at once", async () => {
  const provider = new FakeProvider();
  provider.respond(429, "", { "retry-after": "20" });
  const asked = new Asked(provider.model({ maxRetries: 2 }));
  await settle();
  assert.equal(provider.clock.nextDelayMs, 20_000);
  asked.abort.abort(REASON);
  await assert.rejects(asked.reply, (thrown) => thrown === REASON);
  assert.equal(provider.clock.pending, 0);
  assert.equal(provider.requests.length, 1);
});

Deno.test("createOpenRouter: an abort from within onText ends the reply, even with the last text", async () => {
  for (const raw of [delta("a"), delta("a") + delta("b"), delta("a") + ending(), UNENDED]) {
    const provider = new FakeProvider();
    provider.stream(raw);
    const abort = new AbortController();
    const pieces: string[] = [];
    const onText = (text: string): void => {
      pieces.push(text);
      abort.abort(REASON);
    };
    const reply = provider.model().reply(QUESTION, { onText, signal: abort.signal });
    await assert.rejects(reply, (thrown) => thrown === REASON);
    assert.equal(pieces.length, 1);
    assert.equal(provider.clock.pending, 0);
  }
});

Deno.test("createOpenRouter: what onText throws ends the reply and the request, and is not retried", async () => {
  for (const raw of [delta("a"), delta("a") + ending(), UNENDED]) {
    const provider = new FakeProvider();
    const stream = provider.openStream();
    const onText = (): void => {
      throw REASON;
    };
    const model = provider.model({ maxRetries: 2 });
    const reply = model.reply(QUESTION, { onText, signal: new AbortController().signal });
    stream.write(raw);
    if (raw === UNENDED) stream.end();
    await assert.rejects(reply, (thrown) => thrown === REASON);
    assert.ok(provider.requests[0]?.signal.aborted);
    assert.equal(provider.requests.length, 1);
    assert.equal(provider.clock.pending, 0);
  }
});

Deno.test("createOpenRouter: a reply that has ended leaves nothing on the caller's signal", async () => {
  const provider = new FakeProvider();
  provider.respond(500, "");
  provider.stream(delta("a"), ending());
  const signal = new AbortController().signal;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: EventListener): void => {
    listeners++;
    add(type, listener);
  };
  signal.removeEventListener = (type: string, listener: EventListener): void => {
    listeners--;
    remove(type, listener);
  };
  const reply = provider.model({ maxRetries: 1 }).reply(QUESTION, { onText: () => {}, signal });
  await settle();
  provider.clock.advance(500);
  await reply;
  assert.equal(listeners, 0);
});

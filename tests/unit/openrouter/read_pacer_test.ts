import assert from "node:assert/strict";
import {
  ReadPacer,
  type ReadPacerOptions,
} from "../../../supabase/functions/_shared/openrouter/read_pacer.ts";
import { settle } from "../../support/manual_clock.ts";
import { delta, ending, finish } from "../../support/model_stream.ts";
import { Asked, FakeProvider, type FakeStream } from "./fake_provider.ts";

interface PacedStream {
  stream: FakeStream;
  asked: Asked;
}

/** `count` streams that share a pacer of 50 ms. Each has sent its first text. */
async function start(
  provider: FakeProvider,
  count: number,
  options: Partial<ReadPacerOptions> = {},
): Promise<PacedStream[]> {
  const pacer = new ReadPacer({ clock: provider.clock, minStreams: 3, ...options });
  const model = provider.model({ pacer });
  const streams = Array.from({ length: count }, () => {
    const stream = provider.openStream();
    return { stream, asked: new Asked(model) };
  });
  await say(provider, streams, { everyMs: 10, times: 1 });
  return streams;
}

/** Every stream says "x" this often, after a pause each time. */
async function say(
  provider: FakeProvider,
  streams: readonly PacedStream[],
  { everyMs, times }: { everyMs: number; times: number },
): Promise<void> {
  for (let time = 0; time < times; time++) {
    provider.clock.advance(everyMs);
    for (const { stream } of streams) stream.write(delta("x"));
    await settle(2);
  }
}

/** Makes them fast enough to be paced, and clears what they have said so far. */
async function speedUp(provider: FakeProvider, streams: readonly PacedStream[]): Promise<void> {
  await say(provider, streams, { everyMs: 10, times: 60 });
  // The text that was held back is released.
  provider.clock.advance(50);
  await settle();
  provider.clock.advance(50);
  for (const { asked } of streams) asked.pieces.length = 0;
}

Deno.test("ReadPacer: enough fast streams hand on what a tick brought as one piece", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await speedUp(provider, streams);
  await say(provider, streams, { everyMs: 10, times: 50 });
  for (const { asked } of streams) {
    assert.ok(asked.pieces.length >= 9 && asked.pieces.length <= 11, String(asked.pieces));
    assert.ok(asked.pieces.slice(2, -1).every((piece) => piece.length === 5), String(asked.pieces));
  }
});

Deno.test("ReadPacer: no text is kept back for longer than a tick", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await speedUp(provider, streams);
  for (let wait = 0; wait < 52; wait++) {
    // At any position within the tick.
    await say(provider, streams, { everyMs: 51 + wait, times: 1 });
    const before = streams.map(({ asked }) => asked.text.length);
    await say(provider, streams, { everyMs: 0, times: 1 });
    for (let ms = 0; ms < 52; ms++) {
      provider.clock.advance(1);
      await settle(1);
    }
    for (const [index, { asked }] of streams.entries()) assert.ok(asked.text.length > (before[index] ?? 0));
  }
});

Deno.test("ReadPacer: few streams, or slow ones, are read as it comes", async () => {
  for (const [count, everyMs] of [[2, 10], [6, 40]] as const) {
    const provider = new FakeProvider();
    const streams = await start(provider, count);
    await say(provider, streams, { everyMs, times: 100 });
    for (const { asked } of streams) assert.equal(asked.pieces.length, 101);
    // No tick runs without need.
    assert.equal(provider.clock.pending, 0);
  }
});

Deno.test("ReadPacer: streams that slow down, or end, are let go, and so are the rest", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await speedUp(provider, streams);
  await say(provider, streams, { everyMs: 60, times: 20 });
  for (const { asked } of streams) asked.pieces.length = 0;
  await say(provider, streams, { everyMs: 60, times: 10 });
  for (const { asked } of streams) assert.equal(asked.pieces.length, 10);
  assert.equal(provider.clock.pending, 0);

  await speedUp(provider, streams);
  const [first] = streams;
  first?.stream.write(delta("last") + ending());
  first?.stream.end();
  // Its text need not wait longer than the tick, and then the others need not wait either.
  provider.clock.advance(50);
  await settle();
  assert.ok(first?.asked.ended);
  assert.ok(first.asked.text.endsWith("last"));
  assert.equal(provider.clock.pending, 0);
  const [, ...others] = streams;
  for (const { asked } of others) asked.pieces.length = 0;
  await say(provider, others, { everyMs: 10, times: 5 });
  for (const { asked } of others) assert.equal(asked.text, "xxxxx");
});

Deno.test("ReadPacer: as soon as too few streams are left, what was kept back goes out, and reading goes on", async () => {
  for (const times of [1, 2]) {
    const provider = new FakeProvider();
    const streams = await start(provider, 3);
    await speedUp(provider, streams);
    const [first, ...others] = streams;
    await say(provider, streams, { everyMs: 0, times });
    for (const { asked } of others) assert.equal(asked.text, "");
    first?.asked.abort.abort();
    await assert.rejects(first?.asked.reply ?? Promise.resolve());
    await settle();
    for (const { asked } of others) assert.equal(asked.text, "x".repeat(times));
  }
});

Deno.test("ReadPacer: the last text does not wait for the end of the stream", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await speedUp(provider, streams);
  for (const { stream } of streams) stream.write(delta("last") + finish());
  provider.clock.advance(50);
  await settle();
  for (const { asked } of streams) {
    assert.equal(asked.text, "last");
    assert.equal(asked.ended, false);
  }
});

Deno.test("ReadPacer: streams that are slow each, but many, are read on the tick", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 6);
  await say(provider, streams, { everyMs: 25, times: 40 });
  for (const { asked } of streams) asked.pieces.length = 0;
  await say(provider, streams, { everyMs: 25, times: 40 });
  for (const { asked } of streams) assert.ok(asked.pieces.length <= 21, String(asked.pieces.length));
});

Deno.test("ReadPacer: streams that bring less than one read in a tick share one of twice the length", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 20);
  await say(provider, streams, { everyMs: 80, times: 40 });
  for (const { asked } of streams) asked.pieces.length = 0;
  await say(provider, streams, { everyMs: 80, times: 50 });
  for (const { asked } of streams) {
    assert.ok(asked.pieces.length >= 38 && asked.pieces.length <= 42, String(asked.pieces.length));
  }
  // As soon as they bring more, the tick is as short as before.
  await say(provider, streams, { everyMs: 20, times: 60 });
  for (const { asked } of streams) asked.pieces.length = 0;
  await say(provider, streams, { everyMs: 20, times: 50 });
  for (const { asked } of streams) {
    assert.ok(asked.pieces.length >= 19 && asked.pieces.length <= 21, String(asked.pieces.length));
  }
});

Deno.test("ReadPacer: streams may become somewhat slower and keep the pace", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await say(provider, streams, { everyMs: 16, times: 40 });
  for (const { asked } of streams) assert.equal(asked.pieces.length, 41);
  await speedUp(provider, streams);
  await say(provider, streams, { everyMs: 16, times: 80 });
  for (const { asked } of streams) assert.ok(asked.pieces.length < 50, String(asked.pieces.length));
});

Deno.test("ReadPacer: the first text of a newcomer does not wait", async () => {
  const provider = new FakeProvider();
  const pacer = new ReadPacer({ clock: provider.clock, minStreams: 2 });
  const model = provider.model({ pacer });
  const old = [1, 2].map(() => ({ stream: provider.openStream(), asked: new Asked(model) }));
  await speedUp(provider, old);
  const stream = provider.openStream();
  const asked = new Asked(model);
  stream.write(delta("Hi"));
  await settle();
  assert.deepEqual(asked.pieces, ["Hi"]);
});

Deno.test("ReadPacer: an abort acts at once, whether reading is allowed or not", async () => {
  for (const place of [0, 1, 10, 40, 48, 49, 50]) {
    const provider = new FakeProvider();
    const streams = await start(provider, 3);
    await speedUp(provider, streams);
    provider.clock.advance(place);
    for (const { stream } of streams) stream.write(delta("y"));
    await settle();
    const reason = new Error("cancelled");
    for (const { asked } of streams) {
      asked.abort.abort(reason);
      await assert.rejects(asked.reply, (thrown) => thrown === reason);
    }
    assert.equal(provider.clock.pending, 0);
  }
});

Deno.test("ReadPacer: an end, or a failure, comes with all the text before it", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await speedUp(provider, streams);
  for (const [index, { stream }] of streams.entries()) {
    stream.write(delta("a"));
    await settle();
    stream.write(delta("b") + (index === 0 ? ending() : "data: garbage\n\n"));
    stream.end();
  }
  for (let tick = 0; tick < 3; tick++) {
    provider.clock.advance(50);
    await settle();
  }
  for (const { asked } of streams) {
    assert.ok(asked.ended);
    assert.equal(asked.text, "ab");
  }
  await streams[0]?.asked.reply;
  await assert.rejects(streams[1]?.asked.reply ?? Promise.resolve(), { code: "model_stream_broken" });
  await assert.rejects(streams[2]?.asked.reply ?? Promise.resolve(), { code: "model_stream_broken" });
});

Deno.test("ReadPacer: waiting for a tick is no stall, and a stall is noticed all the same", async () => {
  const provider = new FakeProvider();
  // Shorter than a tick, so that any wait would be visible.
  const pacer = new ReadPacer({ clock: provider.clock, minStreams: 3, intervalMs: 200, minReadsPerTick: 2 });
  const model = provider.model({ pacer, stallTimeoutMs: 100 });
  const streams = [1, 2, 3].map(() => ({ stream: provider.openStream(), asked: new Asked(model) }));
  await say(provider, streams, { everyMs: 10, times: 300 });
  for (const { asked } of streams) assert.equal(asked.ended, false);
  for (let ms = 0; ms < 400; ms++) {
    provider.clock.advance(1);
    await settle(1);
  }
  for (const { asked } of streams) await assert.rejects(asked.reply, { code: "model_timeout" });
  assert.equal(provider.clock.pending, 0);
});

/**
 * Simulates a connection that delivers at most four chunks per millisecond, like Deno with a busy worker. The model
 * sends `perMs` chunks per millisecond on each stream, for `ms`.
 */
async function sayThroughSlowReads(
  provider: FakeProvider,
  streams: readonly PacedStream[],
  { perMs, ms }: { perMs: readonly number[]; ms: number },
): Promise<void> {
  const waiting = streams.map(() => 0);
  const stepMs = 0.25;
  for (let passed = 0; passed < ms; passed += stepMs) {
    provider.clock.advance(stepMs);
    for (const [index, { stream }] of streams.entries()) {
      waiting[index] = (waiting[index] ?? 0) + (perMs[index] ?? 0) * stepMs;
      // A chunk waits in the connection until the one before it has been read.
      if ((waiting[index] ?? 0) < 1 || stream.hasUnread) continue;
      waiting[index] = (waiting[index] ?? 0) - 1;
      stream.write(delta("x"));
    }
    await settle(1);
  }
}

Deno.test("ReadPacer: a stream that has more to read at the end of a tick's reads goes on until nothing is left", async () => {
  const provider = new FakeProvider();
  const streams = await start(provider, 3);
  await speedUp(provider, streams);
  const ms = 1000;
  await sayThroughSlowReads(provider, streams, { perMs: [0.8, 0.2, 0.2], ms });
  const [fast, ...others] = streams.map(({ asked }) => asked.text.length);
  // Everything except what came in the last tick.
  assert.ok((fast ?? 0) >= 0.8 * (ms - 100), `${fast} of ${0.8 * ms} chunks were handed on`);
  for (const count of others) assert.ok(count >= 0.2 * (ms - 100), `${count} of ${0.2 * ms} chunks`);
  // It was read all the time, but its text is still released tick by tick.
  for (const { asked } of streams) assert.ok(asked.pieces.length <= 60, `${asked.pieces.length} pieces`);
});

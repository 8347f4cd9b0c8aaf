import assert from "node:assert/strict";
import fc from "fast-check";
import {
  BatchingPublisher,
  MAX_WAITING_BYTES,
} from "../../../supabase/functions/_shared/notify/batching_publisher.ts";
import { fromBatch } from "../../../supabase/functions/_shared/notify/relay_batch.ts";
import type { RelayMessage } from "../../../supabase/functions/_shared/ports/relay.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { RecordingLog } from "../../support/recording_log.ts";
import { finish, pass, SlowRelay } from "../../support/slow_relay.ts";

interface Setting {
  clock: ManualClock;
  relay: SlowRelay;
  log: RecordingLog;
  publisher: BatchingPublisher;
}

function setUp(): Setting {
  const clock = new ManualClock();
  const relay = new SlowRelay(clock);
  const log = new RecordingLog();
  return { clock, relay, log, publisher: new BatchingPublisher({ relay, clock, log }) };
}

const message = (n: number, event = "e"): RelayMessage => ({ event, payload: { n } });

Deno.test("messages of one macrotask go as one broadcast, and one alone as it is", async () => {
  const { clock, relay, publisher } = setUp();
  void publisher.publish("t", message(1));
  await pass(clock, 100);
  assert.deepEqual(relay.broadcasts.map((sent) => sent.message), [message(1)]);
  const sent = [2, 3, 4].map((n) => publisher.publish("t", message(n)));
  void publisher.publish("u", message(5));
  await pass(clock, 100);
  await Promise.all(sent);
  assert.equal(relay.broadcasts.length, 3);
  assert.deepEqual(relay.heard("t"), [1, 2, 3, 4].map((n) => message(n)));
  assert.deepEqual(relay.heard("u"), [message(5)]);
  assert.equal(clock.pending, 0);
});

Deno.test("the first message of a topic does not wait; the next go 20 ms later", async () => {
  const { clock, relay, publisher } = setUp();
  const start = clock.now();
  for (let n = 0; n < 20; n++) {
    void publisher.publish("t", message(n));
    await pass(clock, 5);
  }
  await pass(clock, 100);
  // Each post took 5 ms until it was accepted.
  assert.deepEqual(relay.broadcasts.map(({ at }) => at - start - 5), [0, 20, 40, 60, 80, 100]);
  assert.equal(relay.heard("t").length, 20);
});

Deno.test("nothing is lost, a topic's order is kept, and no broadcast is too large", async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ topic: fc.constantFrom("t", "u", "v"), chars: fc.nat(300) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        topic: fc.constantFrom("t", "u"),
        chars: fc.integer({ min: 60_000, max: 249_900 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ waitMs: fc.integer({ min: 1, max: 60 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 0, max: 60 }),
      async (steps, delayMs) => {
        const { clock, relay, publisher } = setUp();
        relay.delayMs = delayMs;
        const published = new Map<string, number[]>();
        const settled: Promise<void>[] = [];
        for (const [n, next] of steps.entries()) {
          if ("waitMs" in next) await pass(clock, next.waitMs);
          else {
            published.set(next.topic, [...(published.get(next.topic) ?? []), n]);
            const payload = { n, text: "€".repeat(Math.floor(next.chars / 3)) };
            settled.push(publisher.publish(next.topic, { event: 'a "quoted" event', payload }));
          }
        }
        await finish(clock);
        await Promise.all(settled);
        for (const [topic, numbers] of published) {
          assert.deepEqual(relay.heard(topic).map(({ payload }) => (payload as { n: number }).n), numbers);
        }
        assert.equal(clock.pending, 0);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a doorbell that waits is rung once, with the last message", async () => {
  const { clock, relay, publisher } = setUp();
  for (let n = 0; n < 1000; n++) publisher.ring("t", message(n), { key: `session ${n % 3}` });
  await pass(clock, 100);
  assert.deepEqual(relay.heard("t"), [message(999), message(997), message(998)]);
  publisher.ring("t", message(1000), { key: "session 0" });
  await pass(clock, 100);
  assert.deepEqual(relay.heard("t").at(-1), message(1000));
});

Deno.test("while the relay is down whoever published is told, and doorbells are rung again", async () => {
  const { clock, relay, log, publisher } = setUp();
  relay.isDown = true;
  publisher.ring("t", message(1), { key: "session 1" });
  publisher.ring("t", message(2), { key: "session 2" });
  const refused = assert.rejects(publisher.publish("t", message(3)), { code: "relay_unavailable" });
  await pass(clock, 500);
  await refused;
  publisher.ring("t", message(20), { key: "session 2" });
  relay.isDown = false;
  await pass(clock, 2000);
  assert.deepEqual(new Set(relay.heard("t")), new Set([message(1), message(20)]));
  assert.equal(relay.broadcasts.length, 1);
  assert.deepEqual(log.entries.map(({ event, count }) => [event, count]), [["relay_failed", 1]]);
  await finish(clock);
  assert.equal(clock.pending, 0);
});

Deno.test("a doorbell is given up after five times, with a line in the log", async () => {
  const { clock, relay, log, publisher } = setUp();
  relay.isDown = true;
  for (let n = 0; n < 10; n++) publisher.ring("t", message(n), { key: `session ${n}` });
  await finish(clock);
  assert.deepEqual(log.entries.map(({ event, count }) => [event, count]), [
    ["relay_failed", 1],
    ["relay_ring_dropped", 10],
    ["relay_failed", 4],
  ]);
  assert.equal(clock.pending, 0);
});

Deno.test("what waits is bounded: past it a publisher is told at once, and a doorbell is logged", async () => {
  const { clock, relay, log, publisher } = setUp();
  relay.delayMs = 50;
  const large = { event: "e", payload: { text: "x".repeat(99_000) } };
  const taken: Promise<void>[] = [];
  while (taken.length < Math.floor(MAX_WAITING_BYTES / 99_100)) taken.push(publisher.publish("t", large));
  await assert.rejects(publisher.publish("t", large), {
    code: "relay_unavailable",
    retryable: true,
    message: "Cannot relay the message: too many are waiting",
  });
  publisher.ring("t", large, { key: "session 1" });
  assert.deepEqual(log.events, ["relay_ring_dropped"]);
  // Another topic has its own limit.
  taken.push(publisher.publish("u", large));
  await finish(clock);
  await Promise.all(taken);
  assert.equal(relay.heard("t").length, taken.length - 1);
  await Promise.all([publisher.publish("t", message(1)), pass(clock, 200)]);
});

Deno.test("what cannot be sent is refused by itself, and harms no other", async () => {
  const { clock, relay, publisher } = setUp();
  const fine = publisher.publish("t", message(1));
  await assert.rejects(publisher.publish("t", { event: "e", payload: { text: "x".repeat(250_001) } }), {
    code: "message_too_large",
  });
  await assert.rejects(publisher.publish("t", { event: "e", payload: [1] }), { name: "TypeError" });
  await pass(clock, 50);
  await fine;
  assert.deepEqual(relay.heard("t"), [message(1)]);
});

Deno.test("draining waits for what is under way, and gives up what fails", async () => {
  const { clock, log, publisher } = setUp();
  await publisher.drain();
  const sent = publisher.publish("t", message(1));
  const drains = [publisher.drain(), publisher.drain()];
  await pass(clock, 100);
  await Promise.all([sent, ...drains]);

  const failing = setUp();
  failing.relay.isDown = true;
  failing.publisher.ring("t", message(1), { key: "session 1" });
  const refused = assert.rejects(failing.publisher.publish("t", message(2)));
  const drained = failing.publisher.drain();
  await pass(failing.clock, 100);
  await Promise.all([refused, drained]);
  assert.deepEqual(failing.log.events, ["relay_failed", "relay_ring_dropped"]);
  assert.deepEqual([failing.clock.pending, log.events], [0, []]);
});

Deno.test("what is no batch is no batch: nothing throws, and what is no message is left out", () => {
  for (
    const payload of [undefined, null, 1, [], {}, { messages: null }, { messages: {} }, {
      messages: [1, null, {}],
    }]
  ) {
    assert.deepEqual(fromBatch({ event: "relay_batch", payload }), []);
  }
  const mixed = { messages: [{ event: 1 }, { event: "e", payload: { n: 1 } }] };
  assert.deepEqual(fromBatch({ event: "relay_batch", payload: mixed }), [message(1)]);
  assert.deepEqual(fromBatch({ event: "e", payload: mixed }), [{ event: "e", payload: mixed }]);
});

/** What happens to messages if there are more of them than a worker may post. */

import assert from "node:assert/strict";
import { Metrics } from "../../../supabase/functions/_shared/metrics.ts";
import {
  BACKGROUND_MS,
  BatchingPublisher,
  MAX_PUBLISH_WAIT_MS,
  MAX_WAITING_BYTES,
} from "../../../supabase/functions/_shared/notify/batching_publisher.ts";
import { PostBudget } from "../../../supabase/functions/_shared/notify/post_budget.ts";
import type { RelayMessage } from "../../../supabase/functions/_shared/ports/relay.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { valueOf } from "../../support/prometheus.ts";
import { RecordingLog } from "../../support/recording_log.ts";
import { finish, pass, SlowRelay } from "../../support/slow_relay.ts";

const PER_SECOND = 20;
const TOPICS = 9;
const topicOf = (n: number): string => `topic ${n % TOPICS}`;
const message = (n: number): RelayMessage => ({ event: "e", payload: { n } });

interface Setting {
  clock: ManualClock;
  relay: SlowRelay;
  log: RecordingLog;
  publisher: BatchingPublisher;
  metrics: Metrics;
}

function setUp({ perSecond = PER_SECOND } = {}): Setting {
  const clock = new ManualClock();
  const relay = new SlowRelay(clock);
  const log = new RecordingLog();
  const metrics = new Metrics();
  const budget = new PostBudget({ clock, random: () => 1, perSecond });
  // Skip the first seconds, in which a worker finds its rate.
  clock.advance(60_000);
  budget.observe({ isRefused: false });
  relay.onAnswer = (isTaken) => budget.observe({ isRefused: !isTaken });
  return {
    clock,
    relay,
    log,
    metrics,
    publisher: new BatchingPublisher({ relay, clock, log, budget, metrics }),
  };
}

function counted(metrics: Metrics, name: string, labels?: Record<string, string>): number {
  return valueOf(metrics.render([]), `agent_websocket_${name}`, labels);
}

/** An answer that grows by one word every 50 ms, as long as the clock advances. */
class Growing {
  readonly sent: { from: number; upTo: number; at: number }[] = [];
  words = 0;
  #from = 0;
  #isOffered = false;
  readonly #setting: Setting;
  readonly #n: number;

  constructor(setting: Setting, n: number) {
    this.#setting = setting;
    this.#n = n;
  }

  grow(): void {
    this.words++;
    this.#offer();
  }

  #offer(): void {
    if (this.#isOffered) return;
    this.#isOffered = true;
    const { publisher, clock } = this.#setting;
    publisher.offer(topicOf(this.#n), {
      key: `answer ${this.#n}`,
      make: () => {
        this.#isOffered = false;
        const from = this.#from;
        this.#from = this.words;
        this.sent.push({ from, upTo: this.words, at: clock.now() });
        return message(this.words);
      },
      onFailed: () => {
        this.#from = this.sent.pop()?.from ?? 0;
        this.#offer();
      },
    });
  }
}

async function grow(setting: Setting, answers: readonly Growing[], ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    for (const answer of answers) answer.grow();
    await pass(setting.clock, 50);
  }
}

/** The most posts in any second. */
function busiest({ asked }: SlowRelay): number {
  return Math.max(...asked.map((from) => asked.filter((at) => at >= from && at < from + 1000).length));
}

Deno.test("[RL3] 40 growing answers take 20 posts a second, and each is as good as new after half a second", async () => {
  const setting = setUp();
  const answers = Array.from({ length: 40 }, (_, n) => new Growing(setting, n));
  await grow(setting, answers, 20_000);
  const { relay, metrics, clock, log } = setting;
  assert.ok(busiest(relay) <= PER_SECOND + PER_SECOND / 4, `${busiest(relay)} in a second`);
  assert.ok(relay.asked.length <= 20 * PER_SECOND + 5, `${relay.asked.length} posts`);
  for (const { sent } of answers) {
    for (const [index, { from, at }] of sent.entries()) {
      const before = sent[index - 1];
      if (before === undefined) continue;
      // Nothing is missing and nothing is repeated.
      assert.equal(from, before.upTo);
      assert.ok(at - before.at >= BACKGROUND_MS, `a piece after ${at - before.at} ms`);
      assert.ok(at - before.at <= TOPICS * 1000 / PER_SECOND + 50, `a piece after ${at - before.at} ms`);
    }
    assert.ok((sent.at(-1)?.at ?? 0) >= clock.now() - 550);
  }
  assert.equal(counted(metrics, "relay_posts_total", { outcome: "taken" }), relay.broadcasts.length);
  assert.deepEqual(log.entries, []);
  await finish(clock);
});

Deno.test("[RL3] one answer that grows is posted every 150 ms", async () => {
  const setting = setUp();
  const answer = new Growing(setting, 0);
  await grow(setting, [answer], 3000);
  const gaps = answer.sent.slice(1).map(({ at }, index) => at - (answer.sent[index]?.at ?? 0));
  assert.ok(gaps.every((gap) => gap === BACKGROUND_MS), gaps.join(" "));
  await finish(setting.clock);
});

Deno.test("[RL3] what somebody waits for goes before the pieces of answers, whatever there is of them", async () => {
  const setting = setUp();
  const { clock, relay, publisher } = setting;
  const answers = Array.from({ length: 40 }, (_, n) => new Growing(setting, n));
  await grow(setting, answers, 3000);
  const late: number[] = [];
  for (let n = 0; n < 20; n++) {
    const askedAt = clock.now();
    let tookMs = Infinity;
    void publisher.publish(topicOf(n), message(-n - 1)).then(() => tookMs = clock.now() - askedAt);
    publisher.ring(topicOf(n + 1), message(-100 - n), {});
    await grow(setting, answers, 300);
    late.push(tookMs);
    assert.ok(relay.heard(topicOf(n + 1)).some(({ payload }) => (payload as { n: number }).n === -100 - n));
  }
  // One post may be in flight on the topic, and two may have to be waited for.
  assert.ok(Math.max(...late) <= 120, late.join(" "));
  await finish(clock);
});

Deno.test("[RL3] a busy topic starves no other, and messages of a topic keep their order", async () => {
  const setting = setUp();
  const { clock, relay, publisher } = setting;
  const answer = new Growing(setting, 1);
  const taken: Promise<void>[] = [];
  for (let n = 0; n < 400; n++) {
    for (let topic = 0; topic < TOPICS; topic++) {
      if (topic !== 1) taken.push(publisher.publish(topicOf(topic), message(n)));
    }
    answer.grow();
    await pass(clock, 25);
  }
  await pass(clock, 1000);
  await Promise.all(taken);
  for (let topic = 0; topic < TOPICS; topic++) {
    const heard = relay.heard(topicOf(topic)).map(({ payload }) => (payload as { n: number }).n);
    if (topic !== 1) assert.deepEqual(heard, Array.from({ length: 400 }, (_, n) => n));
  }
  const gaps = answer.sent.slice(1).map(({ at }, index) => at - (answer.sent[index]?.at ?? 0));
  assert.ok(Math.max(...gaps) <= 1000 + TOPICS * 1000 / PER_SECOND + 50, gaps.join(" "));
  await finish(clock);
});

Deno.test("[RL4] refused by Realtime, a worker posts no more for a while, loses no doorbell, and says so in one line", async () => {
  const setting = setUp();
  const { clock, relay, publisher, log, metrics } = setting;
  const answers = Array.from({ length: 40 }, (_, n) => new Growing(setting, n));
  await grow(setting, answers, 1000);
  const before = relay.asked.length;
  relay.isDown = true;
  for (let n = 0; n < 40; n++) publisher.ring(topicOf(n), message(n), { key: `session ${n}` });
  await grow(setting, answers, 5000);
  for (let n = 0; n < 40; n++) publisher.ring(topicOf(n), message(1000 + n), { key: `session ${n}` });
  await grow(setting, answers, 2000);
  // The posts that were in flight together, then one each after 1, 2 and 4 s.
  assert.ok(relay.asked.length - before <= TOPICS + 3, `${relay.asked.length - before} posts`);
  relay.isDown = false;
  await grow(setting, answers, 5000);
  const behind = answers.map(({ sent, words }) => words - (sent.at(-1)?.upTo ?? 0));
  assert.ok(Math.max(...behind) <= 60, `${Math.max(...behind)} words`);
  await grow(setting, answers, 15_000);
  for (let n = 0; n < 40; n++) {
    const heard = relay.heard(topicOf(n)).map(({ payload }) => (payload as { n: number }).n);
    assert.ok(heard.includes(1000 + n), `session ${n}`);
  }
  for (const { sent, words } of answers) {
    for (const [index, { from }] of sent.entries()) assert.equal(from, sent[index - 1]?.upTo ?? 0);
    assert.ok(words - (sent.at(-1)?.upTo ?? 0) <= 11);
  }
  const lines = log.events.filter((event) => event === "relay_refused");
  assert.ok(lines.length >= 1 && lines.length <= 2, log.events.join(" "));
  assert.ok(log.entries.length <= 4, log.events.join(" "));
  const refused = counted(metrics, "relay_posts_total", { outcome: "refused" });
  assert.equal(refused, relay.asked.length - relay.broadcasts.length);
  await finish(clock);
  assert.equal(clock.pending, 0);
});

Deno.test("[RL4] who publishes is told within five seconds that Realtime takes nothing, with the time to wait", async () => {
  const { clock, relay, publisher } = setUp();
  relay.isDown = true;
  const results: { ms: number; code: string; retryAfterMs: number | undefined; retryable: boolean }[] = [];
  for (let n = 0; n < 60; n++) {
    const at = clock.now();
    publisher.publish(topicOf(n), message(n)).then(
      () => assert.fail("it was not taken"),
      ({ code, retryable, retryAfterMs }) =>
        results.push({ ms: clock.now() - at, code, retryable, retryAfterMs }),
    );
    await pass(clock, 500);
  }
  await pass(clock, MAX_PUBLISH_WAIT_MS);
  assert.equal(results.length, 60);
  assert.ok(results.every(({ code, retryable }) => code === "relay_unavailable" && retryable));
  assert.ok(Math.max(...results.map(({ ms }) => ms)) <= MAX_PUBLISH_WAIT_MS + 100);
  assert.ok(results.every(({ retryAfterMs = 0 }) => retryAfterMs > 0 && retryAfterMs <= 15_000));
  assert.ok(relay.asked.length <= 8, `${relay.asked.length} posts`);
  await finish(clock);
});

Deno.test("[RL4] where there is no room, the oldest of what is found elsewhere too goes first", async () => {
  const { clock, relay, publisher, log, metrics } = setUp();
  relay.delayMs = 10_000;
  const large = (n: number): RelayMessage => ({ event: "e", payload: { n, text: "x".repeat(99_000) } });
  publisher.ring("t", message(0));
  await pass(clock, 10);
  const room = Math.floor(MAX_WAITING_BYTES / 99_060);
  for (let n = 0; n < room; n++) {
    publisher.ring("t", large(n), { lane: n % 2 === 0 ? "prompt" : "background" });
  }
  const published = publisher.publish("t", large(1000));
  assert.deepEqual([publisher.waiting, log.events], [room, ["relay_ring_dropped"]]);
  publisher.ring("t", large(1001));
  relay.delayMs = 5;
  await finish(clock);
  await published;
  const heard = relay.heard("t").map(({ payload }) => (payload as { n: number }).n);
  assert.deepEqual([heard.includes(1), heard.includes(3), heard.includes(5)], [false, false, true]);
  assert.equal(counted(metrics, "relay_dropped_total"), 2);
});

Deno.test("[RL3] a worker that ends sends what waits at once, and does not wait for a Realtime that refuses", async () => {
  const { clock, relay, publisher } = setUp({ perSecond: 1 });
  for (let n = 0; n < TOPICS; n++) publisher.ring(topicOf(n), message(n));
  const drained = publisher.drain();
  await pass(clock, 50);
  await drained;
  assert.equal(relay.broadcasts.length, TOPICS);

  const failing = setUp();
  failing.relay.isDown = true;
  failing.publisher.ring("t", message(1));
  await pass(failing.clock, 50);
  const refused = assert.rejects(failing.publisher.publish("u", message(2)), { code: "relay_unavailable" });
  await failing.publisher.drain();
  await refused;
  assert.deepEqual([failing.relay.asked.length, failing.clock.pending], [1, 0]);
});

Deno.test("[RL3] what waits longer than a second is told, summed up", async () => {
  const { clock, publisher, log } = setUp({ perSecond: 1 });
  for (let n = 0; n < TOPICS; n++) publisher.ring(topicOf(n), message(n));
  await finish(clock);
  const throttled = log.entries.filter(({ event }) => event === "relay_throttled");
  assert.deepEqual(throttled.map(({ count }) => count), [1, 6]);
  assert.equal(throttled.at(-1)?.waitedMs, 8000);
});

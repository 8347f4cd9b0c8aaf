/**
 * Few broadcasts for many messages: Realtime counts those of the whole project, and every receiver as one more.
 *
 * A topic's first message goes at the end of the macrotask. While it is under way, and until 20 ms after it was sent, what
 * comes for the same topic gathers, and then goes as one; so the order within a topic is kept. All topics together keep to
 * a {@linkcode PostBudget}: where it is used up, the topic goes next that has waited longest, and takes all that it has
 * gathered. What is in the background (pieces of answers, activity) goes with a topic's broadcasts at most every 150 ms,
 * and waits for what is prompt elsewhere, but no longer than a second.
 */

import { type AgentError, toAgentError } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { Relay, RelayMessage } from "../ports/relay.ts";
import type { CancelTimer, Clock, Log } from "../ports/runtime.ts";
import { type Lane, PostBudget } from "./post_budget.ts";
import { toBatch } from "./relay_batch.ts";
import { relayUnavailable } from "./relay_unavailable.ts";
import { SummedLog } from "./summed_log.ts";
import {
  messageBytes,
  oldestOf,
  type RelaySource,
  type RingOptions,
  type Taken,
  TopicQueue,
  type Waiting,
} from "./topic_queue.ts";

const DEFAULT_WINDOW_MS = 20;
/** Between two broadcasts of one topic that carry what is in the background. */
export const BACKGROUND_MS = 150;
/** How long background messages wait for prompt ones. */
const BACKGROUND_PATIENCE_MS = 1000;
/** A topic's messages that wait, together: far more than a window's, far less than a worker's memory. */
export const MAX_WAITING_BYTES = 4_000_000;
/** After a failure a topic rests for this long. */
const RETRY_MS = 1000;
const MAX_RINGS = 5;
/** The longest time after which a publisher learns that Realtime accepts nothing. */
export const MAX_PUBLISH_WAIT_MS = 5000;
/** A longer wait than this is logged as `relay_throttled`. */
const LATE_MS = 1000;

export interface BatchingOptions {
  relay: Pick<Relay, "publish">;
  clock: Clock;
  log: Log;
  /** From one broadcast to the next of the same topic. Default 20. */
  windowMs?: number;
  /** Of all topics together. Default: any number of posts. */
  budget?: PostBudget;
  metrics?: Metrics;
}

interface Next {
  topic: string;
  queue: TopicQueue;
  lane: Lane;
}

export class BatchingPublisher {
  readonly #options: BatchingOptions;
  readonly #budget: PostBudget;
  readonly #sums: SummedLog;
  /** Every topic that was ever sent to: there are as many as shards, and one. */
  readonly #queues = new Map<string, TopicQueue>();
  #wake: { at: number; cancel: CancelTimer } | undefined;
  #draining: PromiseWithResolvers<void> | undefined;

  constructor(options: BatchingOptions) {
    const { clock, log } = options;
    this.#options = options;
    this.#budget = options.budget ?? new PostBudget({ clock, random: () => 1, perSecond: 0 });
    this.#sums = new SummedLog(clock, log);
  }

  /** How many messages wait. */
  get waiting(): number {
    let waiting = 0;
    for (const { size } of this.#queues.values()) waiting += size;
    return waiting;
  }

  /**
   * Settles as the broadcast does that took the message. Rejects at once with `message_too_large` where it alone is too
   * large; with `relay_unavailable` where {@linkcode MAX_WAITING_BYTES} wait already, and where Realtime takes nothing for
   * longer than {@linkcode MAX_PUBLISH_WAIT_MS}.
   */
  publish(topic: string, message: RelayMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      const bytes = messageBytes(message);
      if (this.#budget.blockedMs > MAX_PUBLISH_WAIT_MS) throw this.#refusal();
      const letter = { kind: "letter", message, bytes, settle: { resolve, reject } } as const;
      if (this.#enqueue(topic, { ...letter, lane: "prompt", since: this.#now })) return;
      throw relayUnavailable("too many are waiting");
    });
  }

  /**
   * Sends a message that says no more than is found elsewhere: a doorbell, a wish that the store knows too. Failures are
   * retried a few times, then logged. Never throws.
   */
  ring(topic: string, message: RelayMessage, { key, lane = "prompt" }: RingOptions = {}): void {
    try {
      const bytes = messageBytes(message);
      const hint = { kind: "hint", message, bytes, failures: 0, ...(key !== undefined && { key }) } as const;
      if (!this.#enqueue(topic, { ...hint, lane, since: this.#now })) this.#dropped(1, {});
    } catch (error) {
      this.#dropped(1, { error });
    }
  }

  /** Has the source asked for its message, in the background, when one can be sent. Never throws. */
  offer(topic: string, source: RelaySource): void {
    this.#enqueue(topic, { kind: "source", lane: "background", since: this.#now, source });
  }

  /**
   * Resolves when nothing waits and nothing is under way; what waits goes without regard to the budget. What fails
   * meanwhile takes with it all that waits.
   */
  async drain(): Promise<void> {
    if (!this.#isIdle) {
      this.#draining ??= Promise.withResolvers();
      if (this.#budget.blockedMs > 0) this.#queues.forEach((queue) => this.#giveUp(queue));
      this.#sleep();
      await this.#draining.promise;
    }
    this.#sums.flush();
  }

  get #now(): number {
    return this.#options.clock.now();
  }

  get #isIdle(): boolean {
    for (const { size, isSending } of this.#queues.values()) if (size > 0 || isSending) return false;
    return true;
  }

  /** Answers whether there was room. */
  #enqueue(topic: string, entry: Waiting): boolean {
    let queue = this.#queues.get(topic);
    if (queue === undefined) this.#queues.set(topic, queue = new TopicQueue());
    const bytes = entry.kind === "source" ? 0 : entry.bytes;
    while (queue.bytes + bytes > MAX_WAITING_BYTES) {
      if (queue.dropHint() === undefined) return false;
      this.#dropped(1, {});
    }
    if (queue.add(entry)) this.#options.metrics?.count("relay_merged_total");
    if (!queue.isSending) this.#wakeAt(this.#readyAt(queue, entry.lane));
    return true;
  }

  /** When the next broadcast of the topic may go that carries this lane. */
  #readyAt({ restsUntil, backgroundFrom }: TopicQueue, lane: Lane): number {
    const mayCarry = lane === "background" && this.#draining === undefined ? backgroundFrom : 0;
    return Math.max(restsUntil, mayCarry, this.#now + this.#waitMs(lane));
  }

  #waitMs(lane: Lane): number {
    return this.#draining === undefined ? this.#budget.waitMs(lane) : 0;
  }

  #wakeAt(at: number): void {
    if (this.#wake !== undefined && this.#wake.at <= at) return;
    this.#wake?.cancel();
    const cancel = this.#options.clock.after(Math.max(0, at - this.#now), () => {
      this.#wake = undefined;
      this.#sendWhatIsDue();
    });
    this.#wake = { at, cancel };
  }

  #sendWhatIsDue(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const waitMs = this.#waitMs(next.lane);
      if (waitMs > 0) return this.#wakeAt(this.#now + waitMs);
      const withBackground = this.#draining !== undefined || this.#now >= next.queue.backgroundFrom;
      const batch = next.queue.take({ withBackground });
      if (batch.length > 0) void this.#send(next, batch);
    }
    this.#sleep();
  }

  /** Until the next topic may send. */
  #sleep(): void {
    if (this.#isIdle) {
      this.#wake?.cancel();
      this.#wake = undefined;
      return this.#draining?.resolve();
    }
    let wakeAt = Infinity;
    for (const queue of this.#queues.values()) {
      if (queue.size === 0 || queue.isSending) continue;
      const lane = queue.since("prompt") === undefined ? "background" : "prompt";
      wakeAt = Math.min(wakeAt, this.#readyAt(queue, lane));
    }
    if (wakeAt < Infinity) this.#wakeAt(wakeAt);
  }

  /** Of the topics that may send something, the one whose turn it is. */
  #next(): Next | undefined {
    const now = this.#now;
    let next: (Next & { deadline: number }) | undefined;
    for (const [topic, queue] of this.#queues) {
      if (queue.isSending || queue.restsUntil > now) continue;
      const prompt = queue.since("prompt") ?? Infinity;
      const mayWait = this.#draining === undefined && queue.backgroundFrom > now;
      const background = mayWait
        ? Infinity
        : (queue.since("background") ?? Infinity) + BACKGROUND_PATIENCE_MS;
      const deadline = Math.min(prompt, background);
      if (deadline === Infinity || deadline >= (next?.deadline ?? Infinity)) continue;
      next = { topic, queue, lane: prompt < Infinity ? "prompt" : "background", deadline };
    }
    return next;
  }

  async #send({ topic, queue }: Next, batch: readonly Taken[]): Promise<void> {
    const { relay, metrics, windowMs = DEFAULT_WINDOW_MS } = this.#options;
    const startedAt = this.#now;
    this.#budget.spend();
    const waitedMs = startedAt - oldestOf(batch);
    if (waitedMs > LATE_MS) this.#sums.add("relay_throttled", batch.length, { waitedMs });
    metrics?.count("relay_merged_total", "", batch.length - 1);
    if (batch.some(({ entry }) => entry.lane === "background")) {
      queue.backgroundFrom = startedAt + BACKGROUND_MS;
    }
    queue.isSending = true;
    queue.restsUntil = startedAt + windowMs;
    try {
      await relay.publish(topic, toBatch(batch.map(({ message }) => message)));
      metrics?.count("relay_posts_total", "taken");
      for (const { entry } of batch) if (entry.kind === "letter") entry.settle.resolve();
    } catch (thrown) {
      queue.restsUntil = startedAt + (this.#draining ? 0 : RETRY_MS);
      this.#failed(queue, batch.map(({ entry }) => entry), toAgentError(thrown));
    }
    queue.isSending = false;
    this.#sleep();
  }

  #failed(queue: TopicQueue, batch: readonly Waiting[], error: AgentError): void {
    const { waiting } = this;
    const retryMs = this.#budget.blockedMs;
    const outcome = retryMs > 0 ? "refused" : "failed";
    this.#options.metrics?.count("relay_posts_total", outcome);
    this.#sums.add(`relay_${outcome}`, 1, { waiting, ...(retryMs > 0 && { retryMs }), error });
    const told = retryMs > 0 ? this.#refusal(error) : error;
    if (this.#draining !== undefined) return this.#giveUp(queue, batch, told);
    const again: Waiting[] = [];
    let dropped = 0;
    for (const entry of batch) {
      if (entry.kind === "letter") entry.settle.reject(told);
      else if (entry.kind === "source") entry.source.onFailed();
      else if (entry.failures + 1 >= MAX_RINGS) dropped++;
      else again.push({ ...entry, failures: entry.failures + 1 });
    }
    queue.addFirst(again);
    if (dropped > 0) this.#dropped(dropped, { error });
    if (retryMs > 0) this.#refuseThoseWhoWouldWaitTooLong(told);
  }

  #refuseThoseWhoWouldWaitTooLong(error: AgentError): void {
    const until = this.#now + this.#budget.blockedMs;
    for (const queue of this.#queues.values()) {
      for (const entry of queue.entries()) {
        if (entry.kind !== "letter" || until - entry.since <= MAX_PUBLISH_WAIT_MS) continue;
        queue.remove(entry);
        entry.settle.reject(error);
      }
    }
  }

  /** Fails all messages that are waiting or being sent: none will be sent any more. */
  #giveUp(queue: TopicQueue, batch: readonly Waiting[] = [], error: AgentError = this.#refusal()): void {
    let dropped = 0;
    for (const entry of [...batch, ...queue.entries()]) {
      queue.remove(entry);
      if (entry.kind === "letter") entry.settle.reject(error);
      else if (entry.kind === "hint") dropped++;
    }
    if (dropped > 0) this.#dropped(dropped, { error });
  }

  #dropped(count: number, fields: Readonly<Record<string, unknown>>): void {
    this.#options.metrics?.count("relay_dropped_total", "", count);
    this.#sums.add("relay_ring_dropped", count, fields);
  }

  #refusal(cause?: AgentError): AgentError {
    const retryAfterMs = this.#budget.blockedMs;
    return relayUnavailable("there are too many for the moment", { retryAfterMs, cause });
  }
}

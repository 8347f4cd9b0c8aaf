/**
 * Few broadcasts for many messages: Realtime allows 100 a second on the smallest plan, counts every receiver as one more,
 * and above that closes the channel for everyone.
 *
 * A topic's first message goes at the end of the macrotask. While it is under way, and until 20 ms after it was sent, what
 * comes for the same topic gathers, and then goes as one. So the order within a topic is kept, and there are at most 50
 * broadcasts of it a second.
 */

import { AgentError, toAgentError } from "../errors.ts";
import type { Clock, Log, Relay, RelayMessage } from "../ports.ts";
import { encodeRelayPayload, MAX_RELAY_BATCH_BYTES, utf8Bytes } from "../protocol/relay_payload.ts";
import { BATCH_FRAME_BYTES, MESSAGE_FRAME_BYTES, toBatch } from "./relay_batch.ts";

const DEFAULT_WINDOW_MS = 20;
/** A topic's messages that wait, together: far more than a window's, far less than a worker's memory. */
export const MAX_WAITING_BYTES = 4_000_000;
/** After a failure a topic rests for this long. */
const RETRY_MS = 1000;
const MAX_RINGS = 5;

export interface BatchingOptions {
  relay: Pick<Relay, "publish">;
  clock: Clock;
  log: Log;
  /** From one broadcast to the next of the same topic. Default 20. */
  windowMs?: number;
}

interface Waiting {
  message: RelayMessage;
  bytes: number;
  /** Only of a doorbell: how often it was rung in vain, and what it is known by. */
  bell?: { key: string; failures: number };
  settle?: { resolve(): void; reject(error: AgentError): void };
}

/** A topic that something was sent to a moment ago, or is about to be. */
class Queue {
  readonly #waiting = new Set<Waiting>();
  readonly #bells = new Map<string, Waiting>();
  /** Of all that wait. */
  bytes = 0;

  add(entry: Waiting): void {
    this.#waiting.add(entry);
    this.bytes += entry.bytes;
    if (entry.bell) this.#bells.set(entry.bell.key, entry);
  }

  /** The doorbell that waits by this name. */
  bell(key: string): Waiting | undefined {
    return this.#bells.get(key);
  }

  /** The first that fit into one broadcast: at least one, as each alone is small enough. */
  take(maxBytes: number): Waiting[] {
    const taken: Waiting[] = [];
    let bytes = BATCH_FRAME_BYTES;
    for (const entry of this.#waiting) {
      if (taken.length > 0 && bytes + 1 + entry.bytes > maxBytes) break;
      // The comma.
      bytes += entry.bytes + (taken.length > 0 ? 1 : 0);
      taken.push(entry);
      this.#waiting.delete(entry);
      this.bytes -= entry.bytes;
      if (entry.bell) this.#bells.delete(entry.bell.key);
    }
    return taken;
  }
}

export class BatchingPublisher {
  readonly #options: BatchingOptions;
  readonly #windowMs: number;
  // A topic is in here while it has a timer, or a broadcast under way.
  readonly #queues = new Map<string, Queue>();
  #draining: PromiseWithResolvers<void> | undefined;

  constructor(options: BatchingOptions) {
    this.#options = options;
    this.#windowMs = options.windowMs ?? DEFAULT_WINDOW_MS;
  }

  /**
   * Settles as the broadcast does that took the message. Rejects at once with `message_too_large` where it alone is too
   * large, and with `relay_unavailable` where {@linkcode MAX_WAITING_BYTES} wait already.
   */
  publish(topic: string, message: RelayMessage): Promise<void> {
    return new Promise((resolve, reject) => this.#enqueue(topic, { message, settle: { resolve, reject } }));
  }

  /**
   * Sends a message that says no more than "look there": one that waits with the same `key` is replaced by it, and
   * failures are retried a few times, then logged. Never throws.
   */
  ring(topic: string, message: RelayMessage, key: string): void {
    try {
      this.#enqueue(topic, { message, bell: { key, failures: 0 } });
    } catch (error) {
      this.#options.log.write({ level: "warn", event: "relay_ring_dropped", error });
    }
  }

  /** Resolves when nothing waits and nothing is under way. What fails meanwhile takes with it all that waits. */
  async drain(): Promise<void> {
    if (this.#queues.size === 0) return;
    this.#draining ??= Promise.withResolvers();
    await this.#draining.promise;
  }

  #enqueue(topic: string, { message, bell, settle }: Omit<Waiting, "bytes">): void {
    const { event, payload } = message;
    const bytes = MESSAGE_FRAME_BYTES + utf8Bytes(JSON.stringify(event)) +
      utf8Bytes(encodeRelayPayload(payload));
    const known = this.#queues.get(topic);
    const queue = known ?? new Queue();
    const rung = bell && queue.bell(bell.key);
    if (rung !== undefined) {
      queue.bytes += bytes - rung.bytes;
      Object.assign(rung, { message, bytes, bell });
      return;
    }
    if (queue.bytes + bytes > MAX_WAITING_BYTES) {
      throw new AgentError("relay_unavailable", "Cannot relay the message: too many are waiting", {
        retryable: true,
      });
    }
    queue.add({ message, bytes, ...(bell && { bell }), ...(settle && { settle }) });
    if (known !== undefined) return;
    this.#queues.set(topic, queue);
    this.#options.clock.after(0, () => void this.#send(topic, queue));
  }

  /** Sends what has gathered; forgets the topic if that is nothing. */
  async #send(topic: string, queue: Queue): Promise<void> {
    const { relay, clock } = this.#options;
    const batch = queue.take(MAX_RELAY_BATCH_BYTES);
    if (batch.length === 0) {
      this.#queues.delete(topic);
      if (this.#queues.size === 0) this.#draining?.resolve();
      return;
    }
    const startedAt = clock.now();
    let pauseMs = this.#windowMs;
    try {
      await relay.publish(topic, toBatch(batch.map(({ message }) => message)));
      for (const { settle } of batch) settle?.resolve();
    } catch (thrown) {
      pauseMs = this.#draining ? 0 : RETRY_MS;
      this.#failed(queue, batch, toAgentError(thrown));
    }
    clock.after(Math.max(0, startedAt + pauseMs - clock.now()), () => void this.#send(topic, queue));
  }

  #failed(queue: Queue, batch: readonly Waiting[], error: AgentError): void {
    const isDraining = this.#draining !== undefined;
    const failed = isDraining ? [...batch, ...queue.take(Infinity)] : batch;
    let dropped = 0;
    for (const { settle, bell, ...entry } of failed) {
      settle?.reject(error);
      // One that was rung meanwhile takes its place.
      if (bell === undefined || queue.bell(bell.key) !== undefined) continue;
      if (isDraining || bell.failures + 1 >= MAX_RINGS) dropped++;
      else queue.add({ ...entry, bell: { ...bell, failures: bell.failures + 1 } });
    }
    if (dropped > 0) {
      this.#options.log.write({ level: "warn", event: "relay_ring_dropped", count: dropped, error });
    }
  }
}

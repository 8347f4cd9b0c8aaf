/** A relay that sends many messages as few broadcasts, and takes them apart on arrival. */

import type { Relay, RelayListener, RelayMessage, RelayStatus } from "../ports/relay.ts";
import { type BatchingOptions, BatchingPublisher } from "./batching_publisher.ts";
import { unbatching } from "./relay_batch.ts";
import { relayUnavailable } from "./relay_unavailable.ts";
import type { RelaySource, RingOptions } from "./topic_queue.ts";

/**
 * Any other relay with messages gathered: see {@linkcode BatchingPublisher}. Every worker that listens must have one, as the
 * batches mean nothing to another.
 */
export class BatchingRelay implements Relay {
  readonly #relay: Relay;
  readonly #publisher: BatchingPublisher;
  #isClosed = false;

  constructor(options: BatchingOptions & { relay: Relay }) {
    this.#relay = options.relay;
    this.#publisher = new BatchingPublisher(options);
  }

  get status(): RelayStatus {
    return this.#relay.status;
  }

  /** How many messages wait to be sent. */
  get waiting(): number {
    return this.#publisher.waiting;
  }

  subscribe(topic: string, listener: RelayListener): () => void {
    let isEnded = false;
    const end = this.#relay.subscribe(topic, unbatching(listener, () => isEnded));
    return () => {
      isEnded = true;
      end();
    };
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async publish(topic: string, message: RelayMessage): Promise<void> {
    if (this.#isClosed) throw relayUnavailable("the relay is closed");
    return this.#publisher.publish(topic, message);
  }

  /** A doorbell: see {@linkcode BatchingPublisher.ring}. */
  ring(topic: string, message: RelayMessage, options?: RingOptions): void {
    if (!this.#isClosed) this.#publisher.ring(topic, message, options);
  }

  /** What grows: see {@linkcode BatchingPublisher.offer}. */
  offer(topic: string, source: RelaySource): void {
    if (!this.#isClosed) this.#publisher.offer(topic, source);
  }

  /** Sends what waits, then leaves everything. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#publisher.drain();
    await this.#relay.close();
  }
}

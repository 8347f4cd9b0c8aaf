/** A relay within one process: for local use without Supabase, and for tests. */

import type { Relay, RelayListener, RelayMessage, RelayStatus } from "../ports.ts";
import { encodeRelayPayload } from "../protocol/relay_payload.ts";
import { relayUnavailable } from "./relay_unavailable.ts";

/**
 * Hands messages to the listeners of this very object, each in a turn of its own after `publish` was called, as JSON would
 * have carried them. There are no gaps: what is subscribed is joined.
 */
export class InProcessRelay implements Relay {
  // An object for each subscription, as the same listener may subscribe twice.
  readonly #topics = new Map<string, Set<{ readonly listener: RelayListener }>>();
  #isClosed = false;

  get status(): RelayStatus {
    return this.#topics.size > 0 ? "ok" : "idle";
  }

  subscribe(topic: string, listener: RelayListener): () => void {
    if (this.#isClosed) return () => {};
    const subscriptions = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, subscriptions);
    const subscription = { listener };
    subscriptions.add(subscription);
    return () => {
      subscriptions.delete(subscription);
      if (subscriptions.size === 0 && this.#topics.get(topic) === subscriptions) this.#topics.delete(topic);
    };
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async publish(topic: string, { event, payload }: RelayMessage): Promise<void> {
    if (this.#isClosed) throw relayUnavailable("the relay is closed");
    const json = encodeRelayPayload(payload);
    queueMicrotask(() => {
      const subscriptions = this.#topics.get(topic);
      if (subscriptions === undefined) return;
      const message = { event, payload: JSON.parse(json) };
      // A copy: whoever subscribes while it is handed on gets the next one first. Whoever ended meanwhile gets none.
      for (const subscription of [...subscriptions]) {
        if (subscriptions.has(subscription)) subscription.listener.onMessage(message);
      }
    });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#topics.clear();
    return Promise.resolve();
  }
}

/** A relay within one process: for local use without Supabase, and for tests. */

import type { Relay, RelayListener, RelayMessage, RelayStatus } from "../ports/relay.ts";
import { encodeRelayPayload } from "../protocol/relay_payload.ts";
import { Listeners } from "./listeners.ts";
import { relayUnavailable } from "./relay_unavailable.ts";

/**
 * Hands messages to the listeners of this very object, each in a turn of its own after `publish` was called, as JSON would
 * have carried them. There are no gaps: what is subscribed is joined.
 */
export class InProcessRelay implements Relay {
  readonly #topics = new Map<string, Listeners>();
  #isClosed = false;

  get status(): RelayStatus {
    return this.#topics.size > 0 ? "ok" : "idle";
  }

  subscribe(topic: string, listener: RelayListener): () => void {
    if (this.#isClosed) return () => {};
    const listeners = this.#topics.get(topic) ?? new Listeners();
    this.#topics.set(topic, listeners);
    const end = listeners.add(listener);
    return () => {
      end();
      if (listeners.size === 0 && this.#topics.get(topic) === listeners) this.#topics.delete(topic);
    };
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async publish(topic: string, { event, payload }: RelayMessage): Promise<void> {
    if (this.#isClosed) throw relayUnavailable("the relay is closed");
    const json = encodeRelayPayload(payload);
    queueMicrotask(() => {
      const listeners = this.#topics.get(topic);
      if (listeners === undefined) return;
      const message = { event, payload: JSON.parse(json) };
      listeners.forEach((listener) => listener.onMessage(message));
    });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#topics.clear();
    return Promise.resolve();
  }
}

/** The listeners of one topic. */

import type { RelayListener } from "../ports/relay.ts";

export class Listeners {
  // An object for each subscription, as the same listener may subscribe twice.
  readonly #subscriptions = new Set<{ readonly listener: RelayListener }>();

  get size(): number {
    return this.#subscriptions.size;
  }

  /** Returns a function that ends this subscription; it returns false if it had ended before. */
  add(listener: RelayListener): () => boolean {
    const subscription = { listener };
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  /** Calls each listener. One that subscribes meanwhile is not called, nor one that ends meanwhile. */
  forEach(what: (listener: RelayListener) => void): void {
    for (const subscription of [...this.#subscriptions]) {
      if (this.#subscriptions.has(subscription)) what(subscription.listener);
    }
  }
}

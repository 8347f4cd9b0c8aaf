/** Who listens to one topic. */

import type { RelayListener } from "../ports.ts";

export class Listeners {
  // An object for each subscription, as the same listener may subscribe twice.
  readonly #subscriptions = new Set<{ readonly listener: RelayListener }>();

  get size(): number {
    return this.#subscriptions.size;
  }

  /** Answers what ends this subscription: whether it had not ended before. */
  add(listener: RelayListener): () => boolean {
    const subscription = { listener };
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  /** From a copy: who subscribes meanwhile is told from the next time on. Who ended meanwhile is not told. */
  tell(what: (listener: RelayListener) => void): void {
    for (const subscription of [...this.#subscriptions]) {
      if (this.#subscriptions.has(subscription)) what(subscription.listener);
    }
  }
}

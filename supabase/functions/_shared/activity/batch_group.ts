/**
 * The events of one tick for all watchers that want the same: put together once, not once for each of them.
 *
 * A watcher that joins while a tick is under way is shown only what came since; one that leaves gets at once what it
 * has waited for. So neither loses, doubles or hurries anything for the others.
 */

import type { CancelTimer, Clock } from "../ports/runtime.ts";
import type { WatchFilter } from "./watch_filter.ts";

/** Who batches are sent to. */
export interface BatchTaker {
  send(text: string): void;
}

export interface BatchGroupOptions {
  clock: Clock;
  filter: WatchFilter;
  /** How long the first event of a batch waits at most. */
  batchMs: number;
  /** What a batch may hold, in UTF-16 units: it goes out before it would hold more. One larger event goes alone. */
  maxChars: number;
}

export class BatchGroup {
  readonly filter: WatchFilter;
  readonly #options: BatchGroupOptions;
  /** By taker, the index in `#events` from which on they are for it. */
  readonly #takers = new Map<BatchTaker, number>();
  #events: string[] = [];
  #chars = 0;
  #cancelTick: CancelTimer | undefined;

  constructor(options: BatchGroupOptions) {
    this.filter = options.filter;
    this.#options = options;
  }

  get size(): number {
    return this.#takers.size;
  }

  add(taker: BatchTaker): void {
    this.#takers.set(taker, this.#events.length);
  }

  /** Sends this taker what it has waited for, and nothing from then on. */
  remove(taker: BatchTaker): void {
    const from = this.#takers.get(taker);
    if (from === undefined) return;
    this.#takers.delete(taker);
    if (from < this.#events.length) taker.send(batchOf(this.#events.slice(from)));
    if (this.#takers.size === 0) this.#takeEvents();
  }

  /** Adds an encoded event. */
  push(event: string): void {
    const { clock, batchMs, maxChars } = this.#options;
    if (this.#chars + event.length > maxChars) this.flush();
    this.#events.push(event);
    this.#chars += event.length;
    // Nothing ticks while nothing happens.
    this.#cancelTick ??= clock.after(batchMs, () => this.flush());
  }

  /** Sends what there is. */
  flush(): void {
    const events = this.#takeEvents();
    if (events.length === 0) return;
    let shared: string | undefined;
    for (const [taker, from] of this.#takers) {
      this.#takers.set(taker, 0);
      if (from === 0) taker.send(shared ??= batchOf(events));
      else if (from < events.length) taker.send(batchOf(events.slice(from)));
    }
  }

  #takeEvents(): readonly string[] {
    const events = this.#events;
    this.#events = [];
    this.#chars = 0;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    return events;
  }
}

function batchOf(events: readonly string[]): string {
  return `{"type":"batch","events":[${events.join(",")}]}`;
}

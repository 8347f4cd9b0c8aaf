/** The watchers that asked for several events a frame, by what they want and how often. */

import type { Clock } from "../ports/runtime.ts";
import type { ActivityEventType } from "../protocol/activity_types.ts";
import { BatchGroup, type BatchTaker } from "./batch_group.ts";
import { filterKey, passes, type WatchFilter } from "./watch_filter.ts";

/** What a batch may hold, in UTF-16 units; less where less may wait for a watcher. */
const MAX_BATCH_CHARS = 65_536;

export interface BatchesOptions {
  clock: Clock;
  /** What may wait for one watcher. */
  maxBufferedBytes: number;
}

export class Batches<Taker extends BatchTaker> {
  readonly #options: BatchesOptions;
  readonly #groups = new Map<string, BatchGroup>();
  readonly #keys = new Map<Taker, string>();

  constructor(options: BatchesOptions) {
    this.#options = options;
  }

  /** Gathers for this taker from now on; what was gathered for it otherwise goes out first. */
  place(taker: Taker, { filter, batchMs }: { filter: WatchFilter; batchMs: number }): void {
    const key = `${batchMs} ${filterKey(filter)}`;
    if (this.#keys.get(taker) === key) return;
    this.remove(taker);
    let group = this.#groups.get(key);
    if (group === undefined) {
      const { clock, maxBufferedBytes } = this.#options;
      // A copy: the watcher's own changes when it subscribes again.
      const kept = { sees: filter.sees, types: new Set(filter.types) };
      const maxChars = Math.min(MAX_BATCH_CHARS, maxBufferedBytes);
      this.#groups.set(key, group = new BatchGroup({ clock, filter: kept, batchMs, maxChars }));
    }
    group.add(taker);
    this.#keys.set(taker, key);
  }

  /** Sends this taker what was gathered for it, and gathers no more. */
  remove(taker: Taker): void {
    const key = this.#keys.get(taker);
    if (key === undefined) return;
    this.#keys.delete(taker);
    const group = this.#groups.get(key);
    group?.remove(taker);
    if (group?.size === 0) this.#groups.delete(key);
  }

  /** Adds an event wherever it is wanted; it is encoded if it is wanted at all. */
  push(type: ActivityEventType, userId: string | undefined, encode: () => string): void {
    for (const group of this.#groups.values()) {
      if (passes(group.filter, type, userId)) group.push(encode());
    }
  }

  /** Sends all that was gathered. */
  flush(): void {
    for (const group of this.#groups.values()) group.flush();
  }
}

/**
 * What `configure` sets. Queries that are asked behind it are asked with it at once, as the model never waits for the store;
 * where the store refuses it, what was set before is in force again.
 */

import type { QueryOptions } from "../protocol/client_frames.ts";
import { checkOptions, type OptionLimits } from "./query_options.ts";
import type { Turns } from "./turns.ts";

export class Configuring {
  readonly #turns: Turns;
  readonly #limits: OptionLimits;
  /** What the store has. */
  #stored: QueryOptions;
  /** On their way to the store, in order. */
  readonly #underWay = new Set<QueryOptions>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(turns: Turns, limits: OptionLimits) {
    this.#turns = turns;
    this.#limits = limits;
    this.#stored = turns.defaults;
  }

  /** Answers with all that is set then. Rejects with `option_not_allowed`, and as the log does: nothing was set then. */
  async set(options: QueryOptions): Promise<QueryOptions> {
    checkOptions(options, this.#limits);
    if (Object.keys(options).length === 0) return this.#stored;
    this.#underWay.add(options);
    this.#apply();
    // One at a time: a write sets everything, and what is not its own must be what the store has.
    const storing = this.#last.then(() => this.#store(options));
    this.#last = storing.catch(() => {});
    return await storing;
  }

  async #store(options: QueryOptions): Promise<QueryOptions> {
    const defaults = { ...this.#stored, ...options };
    try {
      await this.#turns.feed.commit({ defaults });
      return this.#stored = defaults;
    } finally {
      this.#underWay.delete(options);
      this.#apply();
    }
  }

  #apply(): void {
    this.#turns.defaults = Object.assign({}, this.#stored, ...this.#underWay);
  }
}

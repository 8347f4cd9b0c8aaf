/** How many model tokens each user may use a day (UTC). */

import type { Clock } from "../ports/runtime.ts";

const DAY_MS = 86_400_000;

/** Days (UTC) since the epoch. */
export function utcDay(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

export class TokenBudget {
  readonly #clock: Clock;
  readonly #perDay: number;
  #day = 0;
  readonly #spent = new Map<string, number>();
  /** Called whenever tokens were spent. */
  onSpent: ((keys: readonly string[], tokens: number) => void) | undefined;

  /** `perDay` 0 switches the budget off. */
  constructor(clock: Clock, perDay: number) {
    this.#clock = clock;
    this.#perDay = perDay;
  }

  /** Milliseconds until the next day where one of `keys` has used up its budget; undefined where none has. */
  exhausted(keys: readonly string[]): number | undefined {
    if (this.#perDay === 0) return undefined;
    const now = this.#turnPage();
    const isOver = keys.some((key) => (this.#spent.get(key) ?? 0) >= this.#perDay);
    return isOver ? DAY_MS - now % DAY_MS : undefined;
  }

  spend(keys: readonly string[], tokens: number): void {
    if (this.#perDay === 0) return;
    this.#turnPage();
    for (const key of keys) this.#spent.set(key, (this.#spent.get(key) ?? 0) + tokens);
    this.onSpent?.(keys, tokens);
  }

  /** At least this many were spent on that day: at other workers too. Tokens of another day do not count. */
  raise(key: string, tokens: number, day: number): void {
    if (this.#perDay === 0) return;
    this.#turnPage();
    if (day !== this.#day) return;
    this.#spent.set(key, Math.max(tokens, this.#spent.get(key) ?? 0));
  }

  #turnPage(): number {
    const now = this.#clock.now();
    const day = utcDay(now);
    if (day !== this.#day) {
      this.#day = day;
      this.#spent.clear();
    }
    return now;
  }
}

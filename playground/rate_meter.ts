/** Amounts per second, for one minute. Pure: time is an argument. */

const SECONDS = 60;

export class RateMeter {
  readonly #seconds = new Map<number, number>();

  add(amount: number, nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + amount);
    for (const old of this.#seconds.keys()) if (old <= second - SECONDS) this.#seconds.delete(old);
  }

  /** The last sixty seconds, the current one last. */
  history(nowMs: number): number[] {
    const second = Math.floor(nowMs / 1000);
    return Array.from({ length: SECONDS }, (_, at) => this.#seconds.get(second - SECONDS + 1 + at) ?? 0);
  }
}

/**
 * A value that is loaded when it is first needed. The schemas for incoming frames take a cold worker more CPU than all
 * that it does before its first frame (docs/decisions/0031).
 */
export class OnDemand<T> {
  readonly #load: () => Promise<T>;
  #loaded: { value: T } | undefined;
  #waiting: { take: (loaded: T) => void; fail: (error: unknown) => void }[] = [];

  readonly #maxWaiting: number;

  /** `load` is called at the first use, and at the next one again where it has rejected. */
  constructor(load: () => Promise<T>, { maxWaiting = Infinity }: { maxWaiting?: number } = {}) {
    this.#load = load;
    this.#maxWaiting = maxWaiting;
  }

  /** One that is there already. */
  static of<T>(value: T): OnDemand<T> {
    const there = new OnDemand<T>(() => Promise.resolve(value));
    there.#loaded = { value };
    return there;
  }

  get isLoaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** What is there; undefined before it is. */
  get loaded(): T | undefined {
    return this.#loaded?.value;
  }

  /** Whether it is there, or on its way. */
  get isWanted(): boolean {
    return this.isLoaded || this.#waiting.length > 0;
  }

  /** Whether so many wait for it that there is no room for another. */
  get isFull(): boolean {
    return this.#waiting.length >= this.#maxWaiting;
  }

  /**
   * Hands it to `take`: at once where it is there, else as soon as it is, in the order of the calls. Where it cannot be
   * loaded, or `maxWaiting` wait already, `fail` gets the error. Neither may throw.
   */
  use(take: (loaded: T) => void, fail: (error: unknown) => void): void {
    if (this.#loaded !== undefined) return take(this.#loaded.value);
    if (this.isFull) return fail(new Error("Cannot wait for what is being loaded: too many do"));
    this.#waiting.push({ take, fail });
    if (this.#waiting.length > 1) return;
    this.#load().then((value) => {
      // Who comes during the loop is served by it.
      for (const { take } of this.#waiting) take(value);
      this.#loaded = { value };
      this.#waiting = [];
    }, (error) => {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { fail } of waiting) fail(error);
    });
  }

  /** The same as a promise, for those who can wait. */
  get(): Promise<T> {
    return new Promise((resolve, reject) => this.use(resolve, reject));
  }
}

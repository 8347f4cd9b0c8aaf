/** Places that are held under a key, such as a user's connections: counted here and nowhere else. */

/** One place. */
export interface Slot {
  readonly key: string;
  /** Gives the place back. Doing it again does nothing. */
  release(): void;
}

/**
 * The count of a key is the number of its slots that were not released: there is no other number that has to be kept equal to
 * it. So the holder of a slot only needs to release it at its own end.
 */
export class Slots {
  readonly #held = new Map<string, number>();
  /** Called with the key whenever a slot was released. */
  onReleased: ((key: string) => void) | undefined;

  /** The keys of which slots are held. */
  get keys(): Iterable<string> {
    return this.#held.keys();
  }

  count(key: string): number {
    return this.#held.get(key) ?? 0;
  }

  /** Takes one more of at most `max`, 0 for any number; undefined if none is left. */
  take(key: string, max: number): Slot | undefined {
    const held = this.count(key);
    if (max > 0 && held >= max) return undefined;
    this.#held.set(key, held + 1);
    let isReleased = false;
    return {
      key,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#giveBack(key);
      },
    };
  }

  #giveBack(key: string): void {
    const left = this.count(key) - 1;
    if (left > 0) this.#held.set(key, left);
    else this.#held.delete(key);
    this.onReleased?.(key);
  }
}

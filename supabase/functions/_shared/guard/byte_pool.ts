/** Bytes that may wait in one worker, whoever they are from, until it is known what to do with them. */

/** Of all connections together. A worker on the platform has 256 MB. */
export const MAX_WAITING_BYTES = 16_777_216;

export class BytePool {
  readonly #max: number;
  #used = 0;

  constructor(max = MAX_WAITING_BYTES) {
    this.#max = max;
  }

  get used(): number {
    return this.#used;
  }

  /** For what one connection has waiting. */
  account(): WaitingBytes {
    return new WaitingBytes((bytes) => this.#add(bytes));
  }

  #add(bytes: number): boolean {
    if (bytes > 0 && this.#used + bytes > this.#max) return false;
    this.#used += bytes;
    return true;
  }
}

/** What one connection has waiting. */
export class WaitingBytes {
  readonly #addToPool: (bytes: number) => boolean;
  #bytes = 0;

  constructor(addToPool: (bytes: number) => boolean) {
    this.#addToPool = addToPool;
  }

  /** Adds a frame: `over` where the connection would have more than `max` waiting, `full` where the worker would. */
  add(bytes: number, max: number): "kept" | "over" | "full" {
    if (this.#bytes + bytes > max) return "over";
    if (!this.#addToPool(bytes)) return "full";
    this.#bytes += bytes;
    return "kept";
  }

  /** Nothing of it waits any more. */
  clear(): void {
    this.#addToPool(-this.#bytes);
    this.#bytes = 0;
  }
}

/** Bounds the bytes that wait in one worker, from all senders together, until they can be processed. */

import type { MemoryAccount } from "./memory_budget.ts";

/** Of all connections together. A worker on the platform has 256 MB. */
export const MAX_WAITING_BYTES = 16_777_216;

export interface BytePoolOptions {
  /** Default {@linkcode MAX_WAITING_BYTES}. */
  maxBytes?: number;
  /** Where the worker counts all that it keeps. */
  memory?: Pick<MemoryAccount, "add">;
}

export class BytePool {
  readonly #maxBytes: number;
  readonly #memory: Pick<MemoryAccount, "add"> | undefined;
  #used = 0;

  constructor({ maxBytes = MAX_WAITING_BYTES, memory }: BytePoolOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#memory = memory;
  }

  get used(): number {
    return this.#used;
  }

  /** For what one connection has waiting. */
  account(): WaitingBytes {
    return new WaitingBytes((bytes) => this.#add(bytes));
  }

  #add(bytes: number): boolean {
    if (bytes > 0 && this.#used + bytes > this.#maxBytes) return false;
    this.#used += bytes;
    this.#memory?.add(bytes);
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

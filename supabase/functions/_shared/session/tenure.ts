/** This worker's view of who runs the session's turns, as the store has told. */

import type { Clock, Committed, Lease } from "../ports.ts";

/** `until` is when the other one's lease ends unless it is renewed, in milliseconds since the epoch. */
export type TenureState =
  | { name: "nobody" }
  | { name: "self"; epoch: number }
  | { name: "other"; until: number };

const NOBODY: TenureState = { name: "nobody" };

export class Tenure {
  readonly #clock: Clock;
  #state: TenureState = NOBODY;
  #epoch = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get state(): TenureState {
    return this.#state;
  }

  /**
   * What the answer to a write of ours has told: they come in the order of the writes. A lease that came with a claim whose
   * answer was lost is not ours yet: only the answer to a claim tells which turns come with it.
   */
  answered({ lease, openTurns }: Committed): void {
    this.#epoch = lease.epoch;
    const isKnown = openTurns !== undefined ||
      this.#state.name === "self" && this.#state.epoch === lease.epoch;
    this.#state = lease.holder === "self" && !isKnown ? NOBODY : this.#read(lease);
  }

  /** What a read has told. It may be older than the answer to a write, so it can neither give the lease nor take it. */
  glimpsed(lease: Lease): void {
    if (lease.epoch < this.#epoch || this.#state.name === "self" || lease.holder === "self") return;
    this.#epoch = lease.epoch;
    this.#state = this.#read(lease);
  }

  /** A write was refused: another worker has taken over, for how long is to be asked. */
  lost(): void {
    this.#state = NOBODY;
  }

  #read({ holder, epoch, leftMs }: Lease): TenureState {
    if (holder === "nobody") return NOBODY;
    return holder === "self" ? { name: "self", epoch } : { name: "other", until: this.#clock.now() + leftMs };
  }
}

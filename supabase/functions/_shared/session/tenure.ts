/** This worker's view of who runs the session's turns, as the store has told. */

import { AgentError } from "../errors.ts";
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
  #losses = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get state(): TenureState {
    return this.#state;
  }

  /** How often all that ran here was dropped. */
  get losses(): number {
    return this.#losses;
  }

  /**
   * What the answer to a write of ours has told: they come in the order of the writes. It gives the lease only if it tells
   * of all that comes with it: it must be the answer to a claim (that of an earlier one may have been lost), and the claim
   * must have been made after the last loss (it does not tell of a question that it has brought itself, and that was dropped).
   */
  answered({ lease, openTurns }: Committed, lossesBefore: number): void {
    const isRenewed = this.#state.name === "self" && this.#state.epoch === lease.epoch;
    const isGiven = openTurns !== undefined && lossesBefore === this.#losses;
    this.#epoch = lease.epoch;
    this.#state = lease.holder !== "self" || isRenewed || isGiven ? this.#read(lease) : NOBODY;
  }

  /** What a read has told. It may be older than the answer to a write, so it can neither give the lease nor take it. */
  glimpsed(lease: Lease): void {
    if (lease.epoch < this.#epoch || this.#state.name === "self" || lease.holder === "self") return;
    this.#epoch = lease.epoch;
    this.#state = this.#read(lease);
  }

  /** All that ran here is dropped: who has the lease, and for how long, is to be asked. */
  lost(): void {
    this.#losses++;
    this.#state = NOBODY;
  }

  #read({ holder, epoch, leftMs }: Lease): TenureState {
    if (holder === "nobody") return NOBODY;
    return holder === "self" ? { name: "self", epoch } : { name: "other", until: this.#clock.now() + leftMs };
  }
}

/** Whether a write was refused because another worker has taken the lease. */
export function isLost(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.code === "lease_lost";
}

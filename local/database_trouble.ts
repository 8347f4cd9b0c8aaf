/** Outages of the database as its clients see them: REST that is slow, refuses, or does the work and never says so. */

import type { Destination, Upstream } from "./gateway.ts";

/**
 * `slow` delays each answer; `refuse` answers 503; `reset` closes the connection without a word; `lose` does the work and
 * drops its answer.
 */
export const DISTURBANCES = ["slow", "refuse", "reset", "lose"] as const;

export interface DatabaseDisturbance {
  mode: typeof DISTURBANCES[number];
  /** From now on, in milliseconds. A later one takes the place of this. */
  forMs: number;
  /** By how much `slow` delays an answer, in milliseconds. Default: 300. */
  delayMs?: number;
}

export interface DatabaseControl {
  disturb(disturbance: DatabaseDisturbance): void;
  /** Ends what {@linkcode disturb} began. */
  calm(): void;
}

const DEFAULT_DELAY_MS = 300;

export class DatabaseTrouble implements DatabaseControl {
  #now: DatabaseDisturbance | undefined;
  #until = 0;

  disturb(disturbance: DatabaseDisturbance): void {
    this.#now = disturbance;
    this.#until = performance.now() + disturbance.forMs;
  }

  calm(): void {
    this.#now = undefined;
  }

  /** What becomes of a request that would go to `upstream`. */
  pass(upstream: Upstream): Destination {
    switch (this.#current()?.mode) {
      case "refuse":
        return {
          kind: "refusal",
          status: 503,
          code: "DATABASE_UNAVAILABLE",
          message: "The database cannot be reached",
        };
      case "reset":
        return { kind: "hang_up" };
      default:
        return { ...upstream, releaseAnswer: () => this.#release() };
    }
  }

  /** What is under way when it begins is disturbed as well. */
  async #release(): Promise<boolean> {
    const now = this.#current();
    if (now?.mode === "slow") {
      await new Promise((resolve) => setTimeout(resolve, now.delayMs ?? DEFAULT_DELAY_MS));
    }
    return now?.mode !== "lose";
  }

  #current(): DatabaseDisturbance | undefined {
    return performance.now() < this.#until ? this.#now : undefined;
  }
}

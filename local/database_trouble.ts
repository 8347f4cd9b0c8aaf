/** Database outages as clients see them: REST that is slow, refuses, or does the work and sends no answer. */

import type { Destination, Upstream } from "./gateway.ts";

/**
 * `slow` delays each answer; `refuse` answers 503; `reset` closes the connection without an answer; `lose` does the
 * work and drops its answer.
 */
export const DISTURBANCES = ["slow", "refuse", "reset", "lose"] as const;

export interface DatabaseDisturbance {
  mode: typeof DISTURBANCES[number];
  /** The duration from now, in milliseconds. A later call replaces this one. */
  forMs: number;
  /** How long `slow` delays an answer, in milliseconds. Default: 300. */
  delayMs?: number;
}

export interface DatabaseControl {
  disturb(disturbance: DatabaseDisturbance): void;
  /** Ends the effect of {@linkcode disturb}. */
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

  /** The destination of a request that would go to `upstream`. */
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

  /** Requests that are in flight when the outage begins are affected too. */
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

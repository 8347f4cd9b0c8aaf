/** When to connect again: what each close code asks for, and how long to wait. */

import type { Clock } from "./ports.ts";

/** What to do after a close: nothing more; go on at once, or soon; much later; or with a new token. */
export type Reaction = "stop" | "at_once" | "soon" | "later" | "new_token";

const REACTIONS: Readonly<Record<number, Reaction>> = {
  1000: "stop",
  1001: "at_once",
  1008: "stop",
  1009: "stop",
  1012: "at_once",
  1013: "later",
  3008: "at_once",
  4001: "new_token",
  4003: "stop",
  4009: "stop",
};

/** What the table of docs/PROTOCOL.md, "Closing", asks of a client. Codes that are not in it are the network's. */
export function reactionTo(code: number): Reaction {
  return REACTIONS[code] ?? "soon";
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;
/** Where a server that has no room does not say when to come back. */
const LATER_MS = 5000;
/** Attempts that came to nothing in any {@linkcode WINDOW_MS}, whatever else says that it is time. */
const MAX_ATTEMPTS = 30;
const WINDOW_MS = 60_000;

export interface BackoffOptions {
  clock: Clock;
  random(): number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;
  /** When the last attempts began, oldest first. */
  #attempts: number[] = [];

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Connections in a row that came to nothing. */
  get failures(): number {
    return this.#failures;
  }

  attempt(): void {
    this.#attempts = [...this.#attempts, this.#options.clock.now()].slice(-MAX_ATTEMPTS);
  }

  /** A connection was of use: what went wrong before no longer counts. */
  succeed(): void {
    this.#failures = 0;
    this.#attempts = [];
  }

  /** Counts a failure, and answers how long to wait: at random up to a limit that doubles. */
  fail(reaction: Reaction, retryAfterMs: number | undefined): number {
    const { random } = this.#options;
    this.#failures++;
    const limit = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1));
    const isUrgent = reaction === "at_once" || reaction === "new_token";
    const jittered = isUrgent && this.#failures === 1 ? 0 : random() * limit;
    const asked = reaction === "later" ? (retryAfterMs ?? LATER_MS) * (1 + random() / 2) : 0;
    return Math.max(jittered, asked, this.blockedForMs());
  }

  /** How long no attempt may be made, for there were too many. */
  blockedForMs(): number {
    const [oldest] = this.#attempts;
    if (oldest === undefined || this.#attempts.length < MAX_ATTEMPTS) return 0;
    return Math.max(0, oldest + WINDOW_MS - this.#options.clock.now());
  }
}

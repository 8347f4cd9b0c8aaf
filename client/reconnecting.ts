/** When to reconnect: the reaction to each close code, and the delay. */

import type { Closing } from "./options.ts";
import type { Clock } from "./ports.ts";

/**
 * What to do after a close: stop; stay idle until there is something to send; reconnect at once, soon, or much later; or
 * reconnect with a new token.
 */
export type Reaction = "stop" | "idle" | "at_once" | "soon" | "later" | "new_token";

/** The reason of the server's 1000, which ends the connection of a session that was not used. */
const SESSION_TIMEOUT = "Session timeout";

const REACTIONS: Readonly<Record<number, Reaction>> = {
  1000: "at_once",
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

/**
 * The client's reaction from the table in docs/PROTOCOL.md, "Closing". Codes outside the table are network failures. A 1000
 * is the server's own only after its notice `session_timeout`: proxies close cleanly too.
 */
export function reactionTo({ code, reason }: Closing, wasNotified = false): Reaction {
  if (code === 1000 && reason === SESSION_TIMEOUT && wasNotified) return "idle";
  return REACTIONS[code] ?? "soon";
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;
/** The delay if the server has no room and does not say when to retry. */
const LATER_MS = 5000;
/** The limit on failed attempts in any {@linkcode WINDOW_MS}, even if there are other reasons to connect now. */
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

  /** Consecutive failed connections. */
  get failures(): number {
    return this.#failures;
  }

  attempt(): void {
    this.#attempts = [...this.#attempts, this.#options.clock.now()].slice(-MAX_ATTEMPTS);
  }

  /** A connection was useful: earlier failures no longer count. */
  succeed(): void {
    this.#failures = 0;
    this.#attempts = [];
  }

  /** Counts a failure and returns the delay in milliseconds: random, up to a limit that doubles. */
  fail(reaction: Reaction, retryAfterMs: number | undefined): number {
    const { random } = this.#options;
    this.#failures++;
    const limit = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1));
    const isUrgent = reaction === "at_once" || reaction === "new_token";
    const jittered = isUrgent && this.#failures === 1 ? 0 : random() * limit;
    const asked = reaction === "later" ? (retryAfterMs ?? LATER_MS) * (1 + random() / 2) : 0;
    return Math.max(jittered, asked, this.blockedForMs());
  }

  /** How long no attempt may be made after too many attempts. */
  blockedForMs(): number {
    const [oldest] = this.#attempts;
    if (oldest === undefined || this.#attempts.length < MAX_ATTEMPTS) return 0;
    return Math.max(0, oldest + WINDOW_MS - this.#options.clock.now());
  }
}

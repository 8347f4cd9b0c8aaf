/** What the auth server said of a token, remembered for a moment. */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports/runtime.ts";

/** The longest time that a sign-out stays unnoticed. Tokens that are verified locally stay valid until they expire. */
const REMEMBER_MS = 30_000;
const MAX_REMEMBERED = 1000;

interface Verdict {
  /** Resolves for a good token, rejects for a bad one. */
  readonly outcome: Promise<void>;
  readonly askedAt: number;
}

/**
 * Several tabs that reconnect with one token, or a client that comes again and again with a bad one, cost one request
 * in 30 s. A failure to ask is not remembered.
 */
export class TokenVerdicts {
  readonly #clock: Clock;
  // By the token's SHA-256: the whole token decides, and tokens do not stay in memory.
  readonly #verdicts = new Map<string, Verdict>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Settles as `ask` does, or as it did for the same token a moment ago. */
  async of(token: string, ask: () => Promise<void>): Promise<void> {
    const key = await digest(token);
    const now = this.#clock.now();
    const known = this.#verdicts.get(key);
    if (known !== undefined && now - known.askedAt < REMEMBER_MS) return await known.outcome;

    const verdict = { outcome: ask(), askedAt: now };
    // Deleted first, so that the map is in order of age.
    this.#verdicts.delete(key);
    this.#verdicts.set(key, verdict);
    try {
      await verdict.outcome;
    } catch (error) {
      const refused = error instanceof AgentError && error.code === "unauthorized";
      if (!refused && this.#verdicts.get(key) === verdict) this.#verdicts.delete(key);
      throw error;
    } finally {
      // Not before: a token that was refused without a request must not evict a verdict.
      const [oldest] = this.#verdicts.keys();
      if (this.#verdicts.size > MAX_REMEMBERED && oldest !== undefined) this.#verdicts.delete(oldest);
    }
  }
}

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return String.fromCharCode(...new Uint8Array(hash));
}

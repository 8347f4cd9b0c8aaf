/** The user's token, from the caller's `getToken`: with a deadline, and with an error that says what is wrong. */

import { deferred } from "./deferred.ts";
import { AgentClientError } from "./error.ts";
import type { TokenReason } from "./options.ts";
import type { Clock } from "./ports.ts";

/** The time limit for `getToken`. */
const TOKEN_TIMEOUT_MS = 10_000;
/** What a subprotocol may contain. Every JWT does. */
const SENDABLE = /^[\w.~+-]+$/;

export type GetToken = (why: TokenReason) => string | null | undefined | Promise<string | null | undefined>;

export class Tokens {
  readonly #getToken: GetToken | undefined;
  readonly #clock: Clock;
  readonly #deadlines = new Set<() => void>();

  constructor(getToken: GetToken | undefined, clock: Clock) {
    this.#getToken = getToken;
    this.#clock = clock;
  }

  /**
   * The token; undefined for an anonymous connection. Rejects with `token_failed` if `getToken` throws, does not settle
   * in time, returns something other than a token, or returns nothing after a token was refused.
   */
  get(why: TokenReason): Promise<string | undefined> {
    const getToken = this.#getToken;
    if (getToken === undefined) return Promise.resolve(undefined);
    const { promise, resolve, reject } = deferred<string | undefined>();
    const cancel = this.#clock.after(
      TOKEN_TIMEOUT_MS,
      () => reject(failed(`\`getToken\` did not settle within ${TOKEN_TIMEOUT_MS / 1000} s`)),
    );
    this.#deadlines.add(cancel);
    const call = async (): Promise<string | undefined> => checked(await getToken(why), why);
    call().then(resolve, (cause: unknown) => {
      reject(cause instanceof AgentClientError ? cause : failed("`getToken` failed", cause));
    });
    const end = (): void => {
      cancel();
      this.#deadlines.delete(cancel);
    };
    promise.then(end, end);
    return promise;
  }

  /** The client is closed: no deadline is needed, because nobody waits for a token. */
  stop(): void {
    for (const cancel of this.#deadlines) cancel();
    this.#deadlines.clear();
  }
}

function checked(token: unknown, why: TokenReason): string | undefined {
  if (token === undefined || token === null || token === "") {
    // An anonymous connection must not take the place of a user's.
    if (why === "rejected") throw failed("the server requires a token, and `getToken` returned none");
    return undefined;
  }
  if (typeof token === "string" && SENDABLE.test(token)) return token;
  throw failed(`\`getToken\` returned something other than a token (${typeof token})`);
}

function failed(words: string, cause?: unknown): AgentClientError {
  return new AgentClientError("token_failed", `Cannot get a token: ${words}`, { cause, retryable: true });
}

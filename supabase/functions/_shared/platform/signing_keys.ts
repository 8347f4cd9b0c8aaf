/** The public keys of a Supabase project, which sign its users' tokens. */

import type { Clock } from "../ports.ts";
import type { Fetch } from "./deadline_fetch.ts";

/** As long as supabase-js keeps them, and Supabase's own edge cache does: a revoked key is trusted no longer than that. */
const MAX_AGE_MS = 600_000;
/**
 * Tokens with made-up key ids cause no more than one request in this time. A new key is not missed for it: Supabase
 * publishes a key as "standby" well before it signs with it.
 */
const MIN_INTERVAL_MS = 10_000;
/** After a failure: short, as everyone who connects meanwhile is refused. */
const RETRY_INTERVAL_MS = 1_000;

/** A public key as JSON, as the auth server gives it. */
export interface SigningKey {
  kid: string;
  kty: string;
  key_ops: string[];
  [parameter: string]: unknown;
}

export interface SigningKeysOptions {
  url: string;
  headers: Readonly<Record<string, string>>;
  clock: Clock;
  fetch: Fetch;
}

/** The key set, fetched when it is first asked for, by one request however many ask. */
export class SigningKeys {
  readonly #options: SigningKeysOptions;
  #keys: ReadonlyMap<string, SigningKey> = new Map();
  #fetchedAt = -Infinity;
  #failure: { at: number; cause: unknown } | undefined;
  #fetching: Promise<void> | undefined;

  constructor(options: SigningKeysOptions) {
    this.#options = options;
  }

  /** The key `kid`, if the project has one. Rejects with what went wrong where the keys could not be had. */
  async find(kid: string): Promise<SigningKey | undefined> {
    const now = this.#options.clock.now();
    const ageMs = now - this.#fetchedAt;
    if (ageMs < (this.#keys.has(kid) ? MAX_AGE_MS : MIN_INTERVAL_MS)) return this.#keys.get(kid);
    if (this.#fetching === undefined) {
      if (this.#failure !== undefined && now - this.#failure.at < RETRY_INTERVAL_MS) {
        throw this.#failure.cause;
      }
      this.#fetching = this.#fetch().finally(() => this.#fetching = undefined);
    }
    await this.#fetching;
    return this.#keys.get(kid);
  }

  async #fetch(): Promise<void> {
    const { url, headers, clock, fetch } = this.#options;
    try {
      const response = await fetch(url, { headers });
      if (!response.ok) throw new Error(`Cannot fetch the signing keys: HTTP ${response.status}`);
      this.#keys = readKeySet(await response.json());
      this.#fetchedAt = clock.now();
      this.#failure = undefined;
    } catch (cause) {
      this.#failure = { at: clock.now(), cause };
      throw cause;
    }
  }
}

/** RFC 7517, 5. Keys without a name are passed over; whether one can be used is for WebCrypto to say. */
function readKeySet(answer: unknown): ReadonlyMap<string, SigningKey> {
  const keys = isObject(answer) ? answer.keys : undefined;
  if (!Array.isArray(keys)) throw new Error('Cannot read the signing keys: "keys" is not an array');
  return new Map(keys.filter(isNamed).map((key) => [key.kid, { kty: "", key_ops: ["verify"], ...key }]));
}

function isNamed(key: unknown): key is { kid: string } {
  return isObject(key) && typeof key.kid === "string";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** The public keys of an issuer, which sign its users' tokens. */

import type { Clock } from "../ports/runtime.ts";
import type { Fetch } from "./deadline_fetch.ts";
import {
  algorithmOf,
  importPublicKey,
  isSignedBy,
  type Jwk,
  type PublicKeyAlgorithm,
} from "./token_signature.ts";

/** As long as supabase-js keeps them, and Supabase's own edge cache does: a revoked key is trusted no longer than that. */
const MAX_AGE_MS = 600_000;
/**
 * Tokens with made-up key ids cause no more than one request in this time. A new key is not missed for it: Supabase
 * publishes a key as "standby" well before it signs with it.
 */
const MIN_INTERVAL_MS = 10_000;
/** After a failure: short, as everyone who connects meanwhile is refused. */
const RETRY_INTERVAL_MS = 1_000;
/** Of one issuer. Real ones have two or three. */
const MAX_KEYS = 50;

export interface SigningKeysOptions {
  url: string;
  headers: Readonly<Record<string, string>>;
  clock: Clock;
  fetch: Fetch;
  /** Whether HTTP 404 means that there are no keys, as with auth servers that have only a shared secret. Default: false. */
  isOptional?: boolean;
}

/** One of an issuer's keys, with the one algorithm that it is for. */
export class SigningKey {
  readonly alg: PublicKeyAlgorithm;
  readonly #jwk: Jwk;
  #key: Promise<CryptoKey> | undefined;

  constructor(jwk: Jwk, alg: PublicKeyAlgorithm) {
    this.#jwk = jwk;
    this.alg = alg;
  }

  /** Whether it signed the token. Rejects where the key itself is broken. */
  async signed(token: string): Promise<boolean> {
    return await isSignedBy(token, await (this.#key ??= importPublicKey(this.#jwk, this.alg)), this.alg);
  }
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

  /** The key `kid`, if the issuer has one. Rejects with what went wrong where the keys could not be had. */
  async find(kid: string): Promise<SigningKey | undefined> {
    await this.#fetchedWithin(this.#keys.has(kid) ? MAX_AGE_MS : MIN_INTERVAL_MS);
    return this.#keys.get(kid);
  }

  /** Whether the issuer has any. Rejects as `find` does. */
  async hasAny(): Promise<boolean> {
    await this.#fetchedWithin(MAX_AGE_MS);
    return this.#keys.size > 0;
  }

  async #fetchedWithin(maxAgeMs: number): Promise<void> {
    const now = this.#options.clock.now();
    if (now - this.#fetchedAt < maxAgeMs) return;
    if (this.#fetching === undefined) {
      if (this.#failure !== undefined && now - this.#failure.at < RETRY_INTERVAL_MS) {
        throw this.#failure.cause;
      }
      this.#fetching = this.#fetch().finally(() => this.#fetching = undefined);
    }
    await this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { url, headers, clock, fetch, isOptional = false } = this.#options;
    try {
      const response = await fetch(url, { headers });
      const isMissing = isOptional && response.status === 404;
      if (!response.ok && !isMissing) {
        throw new Error(`Cannot fetch the signing keys: HTTP ${response.status}`);
      }
      this.#keys = isMissing ? new Map() : readKeySet(await response.json());
      this.#fetchedAt = clock.now();
      this.#failure = undefined;
    } catch (cause) {
      this.#failure = { at: clock.now(), cause };
      throw cause;
    }
  }
}

/** RFC 7517, 5. Skips keys without a `kid` and keys for another purpose. */
function readKeySet(answer: unknown): ReadonlyMap<string, SigningKey> {
  const listed = isObject(answer) ? answer.keys : undefined;
  if (!Array.isArray(listed)) throw new Error('Cannot read the signing keys: "keys" is not an array');
  const keys = new Map<string, SigningKey>();
  for (const jwk of listed.slice(0, MAX_KEYS) as unknown[]) {
    if (!isObject(jwk) || typeof jwk.kid !== "string") continue;
    const alg = algorithmOf(jwk);
    if (alg !== undefined) keys.set(jwk.kid, new SigningKey(jwk, alg));
  }
  return keys;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/**
 * Verifies users' tokens: those of Supabase Auth, and those of trusted issuers.
 *
 * Signatures are checked by WebCrypto with the issuers' published keys. HS256 tokens are checked by the auth server, because
 * only it has the secret. Neither needs supabase-js, which takes some 30 ms of a worker's CPU to load.
 */

import type { Hs256Policy } from "../config.ts";
import { AgentError } from "../errors.ts";
import type { IdentityVerifier, VerifiedUser } from "../ports/identity.ts";
import type { Clock } from "../ports/runtime.ts";
import type { TrustedIssuer } from "../trusted_issuers.ts";
import { type ClaimedToken, type Issuers, ownIssuer, readAccessToken, refused } from "./access_token.ts";
import { deadlineFetch, type Fetch } from "./deadline_fetch.ts";
import { RefusalLimit } from "./refusal_limit.ts";
import { SigningKeys } from "./signing_keys.ts";
import { TokenVerdicts } from "./token_verdicts.ts";

/** Callers without a known address share one limit. */
const NO_ADDRESS = "";

export interface SupabaseVerifierOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  /** The `iss` of its tokens. Default: `<supabaseUrl>/auth/v1`. */
  issuer?: string | undefined;
  /** Issuers whose tokens are accepted as well. Default: none. */
  trustedIssuers?: readonly TrustedIssuer[];
  /** `auto` (the default) refuses HS256 tokens where the project has signing keys, without asking the auth server. */
  hs256?: Hs256Policy;
  /** A publishable or anon key, which the gateway before the auth server wants. Default: none. */
  apiKey?: string | undefined;
  clock: Clock;
  /** How long an issuer may take to answer. Default 5,000. */
  timeoutMs?: number;
}

export function createSupabaseVerifier(options: SupabaseVerifierOptions): IdentityVerifier {
  return new SupabaseVerifier(options);
}

class SupabaseVerifier implements IdentityVerifier {
  readonly #authUrl: string;
  readonly #headers: Record<string, string>;
  readonly #clock: Clock;
  readonly #fetch: Fetch;
  readonly #hs256: Hs256Policy;
  readonly #issuers: Issuers;
  readonly #ownKeys: SigningKeys;
  /** By issuer. */
  readonly #trustedKeys: ReadonlyMap<string, SigningKeys>;
  readonly #verdicts: TokenVerdicts;
  readonly #refusals: RefusalLimit;

  constructor(options: SupabaseVerifierOptions) {
    const { supabaseUrl, issuer, trustedIssuers = [], hs256 = "auto", apiKey, clock, timeoutMs = 5000 } =
      options;
    this.#authUrl = `${supabaseUrl}/auth/v1`;
    this.#headers = apiKey ? { apikey: apiKey } : {};
    this.#clock = clock;
    this.#fetch = deadlineFetch(clock, timeoutMs);
    this.#hs256 = hs256;
    this.#issuers = { isOwn: ownIssuer(supabaseUrl, issuer), trusted: trustedIssuers };
    this.#ownKeys = new SigningKeys({
      url: `${this.#authUrl}/.well-known/jwks.json`,
      headers: this.#headers,
      clock,
      fetch: this.#fetch,
      isOptional: true,
    });
    // Third parties must not get the project's key.
    const theirs = { headers: {}, clock, fetch: this.#fetch };
    this.#trustedKeys = new Map(
      trustedIssuers.map(({ issuer, jwksUrl: url }) => [issuer, new SigningKeys({ ...theirs, url })]),
    );
    this.#verdicts = new TokenVerdicts(clock);
    this.#refusals = new RefusalLimit(clock);
  }

  async verify(token: string, address: string = NO_ADDRESS): Promise<VerifiedUser> {
    const claimed = readAccessToken(token, this.#clock.now(), this.#issuers);
    if (claimed.alg === "HS256") await this.#checkShared(token, claimed.userId, address);
    else await this.#checkSignature(token, claimed);
    const { userId, expiresAt, appMetadata } = claimed;
    return { userId, expiresAt, appMetadata };
  }

  async #checkSignature(
    token: string,
    { kid, alg, issuer }: Exclude<ClaimedToken, { alg: "HS256" }>,
  ): Promise<void> {
    const keys = issuer === undefined ? this.#ownKeys : this.#trustedKeys.get(issuer.issuer);
    const key = await keys?.find(kid).catch((cause: unknown) => {
      throw unavailable(cause);
    });
    if (key === undefined) throw refused("its signing key is unknown");
    if (key.alg !== alg) throw refused("its signature is wrong", "its key is for another algorithm");
    const isGood = await key.signed(token).catch((cause: unknown) => {
      throw refused("its signature is wrong", cause);
    });
    if (!isGood) throw refused("its signature is wrong");
  }

  async #checkShared(token: string, userId: string, address: string): Promise<void> {
    if (this.#hs256 === "refuse") throw refused("the shared secret no longer counts");
    if (this.#hs256 === "auto") {
      const hasKeys = await this.#ownKeys.hasAny().catch((cause: unknown) => {
        throw unavailable(cause);
      });
      if (hasKeys) throw refused("the shared secret no longer counts, as the project has signing keys");
    }
    await this.#verdicts.of(token, () => this.#ask(token, { userId, address }));
  }

  /** Asks the auth server, unless too many tokens from this address were refused. */
  async #ask(token: string, { userId, address }: { userId: string; address: string }): Promise<void> {
    const leave = await this.#refusals.ask(address);
    if ("retryAfterMs" in leave) {
      throw new AgentError("rate_limited", "Cannot check the token: too many tokens were refused", {
        retryable: true,
        retryAfterMs: leave.retryAfterMs,
      });
    }
    let isRefusal = false;
    try {
      await this.#askAuthServer(token, userId);
    } catch (error) {
      isRefusal = error instanceof AgentError && error.code === "unauthorized";
      throw error;
    } finally {
      leave.settle(isRefusal);
    }
  }

  /** As `getUser` of supabase-js, which does not compare the user in the answer with the token's. */
  async #askAuthServer(token: string, userId: string): Promise<void> {
    const headers = { ...this.#headers, authorization: `Bearer ${token}` };
    const response = await this.#fetch(`${this.#authUrl}/user`, { headers }).catch((cause: unknown) => {
      throw unavailable(cause);
    });
    const body: unknown = await response.json().catch(() => undefined);
    // The error's name is in `code` or in `error_code`, depending on the version of the API.
    const { id, code, error_code: name } = isObject(body) ? body : {};
    const { status } = response;
    if (isRefusal(status, [code, name])) throw refused("the auth server refused it", `HTTP ${status}`);
    if (status !== 200 || id !== userId) {
      throw unavailable(`The auth server did not answer with the token's user: HTTP ${status}`);
    }
  }
}

/** Whether the auth server refused the token. Otherwise it is overloaded or broken, or another server answered. */
function isRefusal(status: number, names: readonly unknown[]): boolean {
  if (status === 401 || status === 403) return true;
  return (status === 400 || status === 404) && names.some((name) => typeof name === "string");
}

function unavailable(cause: unknown): AgentError {
  return new AgentError("store_unavailable", "Cannot check the token: the auth server did not answer", {
    retryable: true,
    cause,
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** The tokens that Realtime accepts, and its problems with the others. */

import { compactVerify, decodeJwt, decodeProtectedHeader } from "jose";
import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import type { RealtimeKeys, RealtimeOptions } from "./settings.ts";

export interface Claims {
  role: string;
  /** Seconds since the epoch. */
  exp: number;
  readonly [claim: string]: unknown;
}

export type TokenProblem =
  | { kind: "malformed" }
  | { kind: "expired"; secondsAgo: number }
  | { kind: "missing_claims" }
  | { kind: "no_signer"; kid?: string }
  | { kind: "bad_signature" };

export type Verdict = { claims: Claims; problem?: never } | { problem: TokenProblem };

export interface TokensOptions {
  keys: RealtimeKeys;
  publicKeys: NonNullable<RealtimeOptions["publicKeys"]>;
  clock: Clock;
}

export class Tokens {
  readonly #options: TokensOptions;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** The JWT that the platform's gateway substitutes for an API key; anything else is returned unchanged. */
  forKey(key: string): string {
    const { publishableKey, secretKey, anonKey, serviceRoleKey } = this.#options.keys;
    if (key === publishableKey) return anonKey;
    return key === secretKey ? serviceRoleKey : key;
  }

  async verify(token: string): Promise<Verdict> {
    let header: ReturnType<typeof decodeProtectedHeader>;
    let payload: ReturnType<typeof decodeJwt>;
    try {
      header = decodeProtectedHeader(token);
      payload = decodeJwt(token);
    } catch {
      return { problem: { kind: "malformed" } };
    }
    const { alg = "none", kid } = header;
    const key = await this.#key(alg, kid);
    if (key === undefined) {
      // The real server includes the id only if it has looked for that key.
      const named = typeof kid === "string" && /^[RE]S/.test(alg);
      return { problem: { kind: "no_signer", ...(named ? { kid } : {}) } };
    }
    try {
      // Checks only the signature: Realtime ignores `aud` and `nbf`.
      await compactVerify(token, key, { algorithms: [alg] });
    } catch {
      return { problem: { kind: "bad_signature" } };
    }
    const { exp, role } = payload;
    if (typeof exp === "number") {
      const expired = expiry(exp, this.#options.clock);
      if (expired !== undefined) return { problem: expired };
    }
    if (typeof exp !== "number" || typeof role !== "string") return { problem: { kind: "missing_claims" } };
    return { claims: { ...payload, exp, role } };
  }

  async #key(alg: string, kid: unknown): Promise<Parameters<typeof compactVerify>[1] | undefined> {
    const { keys, publicKeys } = this.#options;
    if (/^HS(256|384|512)$/.test(alg)) return new TextEncoder().encode(keys.jwtSecret);
    if (typeof kid !== "string") return undefined;
    return (await publicKeys()).find((key) => key.kid === kid && key.alg === alg)?.publicKey;
  }
}

/** The problem of a token that expires at `exp`, in seconds since the epoch; undefined while it is valid. */
export function expiry(exp: number, clock: Pick<Clock, "now">): TokenProblem | undefined {
  const secondsAgo = Math.floor(clock.now() / 1000) - exp;
  return secondsAgo < 0 ? undefined : { kind: "expired", secondsAgo };
}

/** Keys that are not JWTs. As a user's token they count as missing. */
export function isApiKey(token: string): boolean {
  return token.startsWith("sb_");
}

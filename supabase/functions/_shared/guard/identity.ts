/** Who is at the other end: which of the credentials counts, and what it amounts to. */

import { AgentError } from "../errors.ts";
import type { IdentityVerifier } from "../ports/identity.ts";
import { claimsOf } from "../token_claims.ts";

export type AuthMode = "required" | "optional" | "none";

export type Identity =
  | {
    kind: "user";
    userId: string;
    /** Milliseconds since the epoch. */
    expiresAt: number;
    /** The verified token, for tools that act as the user. It stays in memory. */
    token: string;
  }
  | { kind: "anonymous" };

/** A token that tools may use, with its claims. */
export interface LiveToken {
  token: string;
  claims: Readonly<Record<string, unknown>>;
}

/** The user's token, unless it has expired at `now` (milliseconds since the epoch). */
export function liveToken(identity: Identity | undefined, now: number): LiveToken | undefined {
  if (identity?.kind !== "user" || identity.expiresAt <= now) return undefined;
  return { token: identity.token, claims: claimsOf(identity.token) };
}

/** `missing`: no identity yet, but the first frame may still carry a token. */
export type Identification = Identity | { kind: "missing" };

export interface IdentityPolicy {
  mode: AuthMode;
  verifier: IdentityVerifier;
  /** A project's public keys: as a token they identify no user. */
  isPublishableKey(token: string): boolean;
}

/**
 * Who a connection is, by its token (undefined: it brought none). A bad token is refused whatever the mode, never
 * taken for none: rejects with what the verifier rejects with. `address` is where it comes from.
 */
export async function identify(
  token: string | undefined,
  policy: IdentityPolicy,
  address?: string,
): Promise<Identification> {
  if (policy.mode === "none") return { kind: "anonymous" };
  if (token === undefined || policy.isPublishableKey(token)) {
    return { kind: policy.mode === "optional" ? "anonymous" : "missing" };
  }
  const { userId, expiresAt } = await policy.verifier.verify(token, address);
  return { kind: "user", userId, expiresAt, token };
}

/**
 * Whether a new token may stand in for the identity a connection has: `forbidden` if it belongs to another user.
 */
export function checkRenewal(current: Identity, renewed: Identification): AgentError | undefined {
  if (current.kind === "user" && renewed.kind === "user" && current.userId === renewed.userId) {
    return undefined;
  }
  if (current.kind === "anonymous" && renewed.kind === "anonymous") return undefined;
  if (current.kind === "anonymous") {
    return new AgentError(
      "forbidden",
      "Cannot sign in on an anonymous connection: connect again with the token",
    );
  }
  return new AgentError("forbidden", "Cannot renew the token: it is not this user's");
}

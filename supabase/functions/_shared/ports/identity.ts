/** Who a token belongs to. */

/** A user whose token was verified. */
export interface VerifiedUser {
  userId: string;
  /** When the token ends, in milliseconds since the epoch. */
  expiresAt: number;
  /** The claim `app_metadata`, which only the project's own server can set. */
  appMetadata?: Readonly<Record<string, unknown>>;
}

/** Verifies access tokens. */
export interface IdentityVerifier {
  /**
   * Checks a user's access token: signature, algorithm, `iss`, `exp`, `nbf`, `aud`. Checks that cost a request are limited by the
   * caller's `address`. Rejects with an {@linkcode AgentError}: `unauthorized` for an invalid token; `store_unavailable`
   * (retryable) if the keys could not be fetched, `rate_limited` (retryable) over the limit.
   */
  verify(token: string, address?: string): Promise<VerifiedUser>;
}

/** What an access token says of itself, before anyone has vouched for it. */

import { AgentError } from "../errors.ts";
import { isLoopback, type TrustedIssuer } from "../trusted_issuers.ts";
import { fromBase64Url } from "../token_claims.ts";
import { PUBLIC_KEY_ALGORITHMS, type PublicKeyAlgorithm } from "./token_signature.ts";

/** Supabase's tokens have one to two thousand characters; HTTP headers seldom may be longer than this. */
export const MAX_TOKEN_CHARS = 8192;
/** How far an issuer's clock may be ahead of ours. PostgREST allows the same. */
const MAX_CLOCK_SKEW_S = 30;
/** The last second that a `Date` can hold. */
const MAX_DATE_S = 8_640_000_000_000;

/** Signing keys, and the shared secret of older projects. `none` is not one. */
const ALGORITHMS = [...PUBLIC_KEY_ALGORITHMS, "HS256"] as const;
/** Those that Supabase Auth has. */
const OWN_ALGORITHMS: readonly string[] = ["ES256", "RS256", "HS256"];

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
/** OpenID Connect Core, 2; and no control characters, which a database would refuse. */
const SUBJECT = /^[^\p{Cc}\p{Cs}]{1,255}$/u;
/** The `userId` of anonymous sessions in activity events. */
const ANONYMOUS = "anonymous";

/** The issuers whose tokens are accepted. */
export interface Issuers {
  /** Whether this `iss` is the project's own. */
  isOwn(issuer: string): boolean;
  trusted: readonly TrustedIssuer[];
}

/** A token that is well formed, in time, and a user's, if its signature is right. */
export type ClaimedToken =
  & {
    /** The claim `sub`; of a trusted issuer with its prefix. */
    userId: string;
    /** Milliseconds since the epoch. */
    expiresAt: number;
    /** The claim `app_metadata`. */
    appMetadata: Readonly<Record<string, unknown>>;
  }
  & (
    | {
      alg: PublicKeyAlgorithm;
      /** Which of the issuer's keys signed it. */
      kid: string;
      /** Undefined: the project itself. */
      issuer: TrustedIssuer | undefined;
    }
    | { alg: "HS256" }
  );

/**
 * Matches the project's own issuer: `<supabaseUrl>/auth/v1`, or `setting` if given. An http URL means a local stack, where one
 * server has several names (`kong:8000`, `127.0.0.1:54321`): then every loopback issuer is accepted as well.
 */
export function ownIssuer(supabaseUrl: string, setting?: string): Issuers["isOwn"] {
  const expected = setting ?? `${supabaseUrl}/auth/v1`;
  const isLocal = setting === undefined && /^http:/i.test(supabaseUrl);
  return (issuer) => issuer === expected || (isLocal && isLoopbackIssuer(issuer));
}

/**
 * Reads a JWT and checks all that can be checked without a key, at `nowMs` milliseconds since the epoch.
 * Throws an {@linkcode AgentError} `unauthorized` whose words never hold a part of the token.
 */
export function readAccessToken(token: string, nowMs: number, issuers: Issuers): ClaimedToken {
  if (token.length > MAX_TOKEN_CHARS) throw refused(`it is longer than ${MAX_TOKEN_CHARS} characters`);
  const parts = token.split(".");
  const [header, payload] = parts.map(decodeObject);
  if (parts.length !== 3 || parts[2] === "" || header === undefined || payload === undefined) {
    throw refused("it is not a JSON Web Token");
  }

  const { iss, aud, role, app_metadata: appMetadata } = payload;
  const issuer = issuers.trusted.find((trusted) => trusted.issuer === iss);
  const alg = ALGORITHMS.find((name) => name === header.alg);
  const isAllowed = issuer === undefined ? OWN_ALGORITHMS.includes(alg ?? "") : alg !== "HS256";
  if (alg === undefined || !isAllowed) throw refused("its algorithm is not allowed");
  // RFC 7515, 4.1.11: an extension that must be understood, and none is.
  if (Object.hasOwn(header, "crit")) throw refused("it needs an extension that is not known");
  const expiresAt = readTimes(payload, nowMs / 1000) * 1000;
  // HS256 tokens are verified by the auth server, and older ones have no issuer.
  if (issuer === undefined && alg !== "HS256" && !(typeof iss === "string" && issuers.isOwn(iss))) {
    throw refused("its issuer is not trusted");
  }
  if (!isFor(aud, issuer?.audiences ?? ["authenticated"])) throw refused("it is for another audience");
  // The keys of older projects are tokens as well, with the roles `anon` and `service_role`. Supabase's REST reads the
  // role from this claim for every issuer.
  if (role !== "authenticated") throw refused("it is not a user's");

  const claimed = {
    userId: userIdOf(payload.sub, issuer, issuers),
    expiresAt,
    appMetadata: isObject(appMetadata) ? appMetadata : {},
  };
  if (alg === "HS256") return { alg, ...claimed };
  if (typeof header.kid !== "string" || header.kid === "") throw refused("it names no signing key");
  return { alg, kid: header.kid, issuer, ...claimed };
}

/** `why` is for the client; `cause` for the log. */
export function refused(why: string, cause?: unknown): AgentError {
  return new AgentError("unauthorized", `Cannot accept the token: ${why}`, { cause });
}

/** When it expires, in seconds as `now`. */
function readTimes({ exp, nbf, iat }: Record<string, unknown>, now: number): number {
  if (!isDate(exp)) throw refused("it has no time of expiry");
  if (exp <= now) throw refused("it has expired");
  for (const start of [nbf, iat]) {
    if (start === undefined) continue;
    if (!isDate(start)) throw refused("it has a date that is none");
    if (start > now + MAX_CLOCK_SKEW_S) throw refused("it is not valid yet");
  }
  return exp;
}

/** Without expected audiences, `aud` must be absent or Supabase's own: a token for another service is never accepted. */
function isFor(aud: unknown, audiences: readonly string[]): boolean {
  if (audiences.length === 0) return aud === undefined || isFor(aud, ["authenticated"]);
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return audiences.some((audience) => named.includes(audience));
}

/**
 * Keeps user ids unique over all issuers. Supabase Auth's ids are UUIDs; those of the one trusted issuer without a prefix must
 * not be UUIDs, and must not begin with another issuer's prefix.
 */
function userIdOf(sub: unknown, issuer: TrustedIssuer | undefined, { trusted }: Issuers): string {
  if (typeof sub !== "string" || sub === "") throw refused("it names no user");
  if (!SUBJECT.test(sub)) throw refused("its user cannot be named so");
  if (issuer === undefined) {
    if (trusted.length > 0 && !UUID.test(sub)) throw refused("its user is not one of the project's");
    return sub;
  }
  const isAmbiguous = UUID.test(sub) || sub === ANONYMOUS ||
    trusted.some(({ prefix }) => prefix !== "" && sub.startsWith(prefix));
  if (issuer.prefix === "" && isAmbiguous) {
    throw refused("its user could be mistaken for another's: its issuer needs a prefix");
  }
  return issuer.prefix + sub;
}

function isLoopbackIssuer(issuer: string): boolean {
  if (!URL.canParse(issuer)) return false;
  const { protocol, hostname, pathname } = new URL(issuer);
  return protocol === "http:" && isLoopback(hostname) && pathname === "/auth/v1";
}

function isDate(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_DATE_S;
}

/** One part of a JWT: base64url of a JSON object in UTF-8. */
function decodeObject(part: string): Record<string, unknown> | undefined {
  try {
    const bytes = fromBase64Url(part);
    const value: unknown = bytes && JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

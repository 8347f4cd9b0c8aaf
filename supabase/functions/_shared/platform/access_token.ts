/** What an access token says of itself, before anyone has vouched for it. */

import { AgentError } from "../errors.ts";

/** Supabase's tokens have one to two thousand characters; HTTP headers seldom may be longer than this. */
export const MAX_TOKEN_CHARS = 8192;
/** How far the auth server's clock may be ahead of ours. PostgREST allows the same. */
const MAX_CLOCK_SKEW_S = 30;
/** The last second that a `Date` can hold. */
const MAX_DATE_S = 8_640_000_000_000;

/** Supabase's algorithms: signing keys, and the shared secret of older projects. `none` is not one. */
const ALGORITHMS = ["ES256", "RS256", "HS256"] as const;

/** A token that is well formed, in time, and a user's, if its signature is right. */
export type ClaimedToken =
  & {
    /** The claim `sub`. */
    userId: string;
    /** Milliseconds since the epoch. */
    expiresAt: number;
    /** The claim `app_metadata`. */
    appMetadata: Readonly<Record<string, unknown>>;
  }
  & (
    | { alg: "ES256" | "RS256"; /** Which of the project's keys signed it. */ kid: string }
    | { alg: "HS256" }
  );

/**
 * Reads a JWT and checks all that can be checked without a key, at `nowMs` milliseconds since the epoch.
 * Throws an {@linkcode AgentError} `unauthorized` whose words never hold a part of the token.
 *
 * The issuer is not checked: a local stack and a custom domain have two names for one server, and the project's keys are
 * its own.
 */
export function readAccessToken(token: string, nowMs: number): ClaimedToken {
  if (token.length > MAX_TOKEN_CHARS) throw refused(`it is longer than ${MAX_TOKEN_CHARS} characters`);
  const parts = token.split(".");
  const [header, payload] = parts.map(decodeObject);
  if (parts.length !== 3 || parts[2] === "" || header === undefined || payload === undefined) {
    throw refused("it is not a JSON Web Token");
  }

  const alg = ALGORITHMS.find((name) => name === header.alg);
  if (alg === undefined) throw refused("its algorithm is not allowed");
  // RFC 7515, 4.1.11: an extension that must be understood, and none is.
  if (Object.hasOwn(header, "crit")) throw refused("it needs an extension that is not known");

  const { sub, exp, nbf, iat, aud, role, app_metadata: appMetadata } = payload;
  const now = nowMs / 1000;
  if (!isDate(exp)) throw refused("it has no time of expiry");
  if (exp <= now) throw refused("it has expired");
  for (const start of [nbf, iat]) {
    if (start === undefined) continue;
    if (!isDate(start)) throw refused("it has a date that is none");
    if (start > now + MAX_CLOCK_SKEW_S) throw refused("it is not valid yet");
  }
  if (aud !== "authenticated" && !(Array.isArray(aud) && aud.includes("authenticated"))) {
    throw refused("it is for another audience");
  }
  // The keys of older projects are tokens as well, with the roles `anon` and `service_role`.
  if (role !== "authenticated") throw refused("it is not a user's");
  if (typeof sub !== "string" || sub === "") throw refused("it names no user");

  const claimed = {
    userId: sub,
    expiresAt: exp * 1000,
    appMetadata: isObject(appMetadata) ? appMetadata : {},
  };
  if (alg === "HS256") return { alg, ...claimed };
  if (typeof header.kid !== "string" || header.kid === "") throw refused("it names no signing key");
  return { alg, kid: header.kid, ...claimed };
}

/** `why` is for the client; `cause` for the log. */
export function refused(why: string, cause?: unknown): AgentError {
  return new AgentError("unauthorized", `Cannot accept the token: ${why}`, { cause });
}

function isDate(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_DATE_S;
}

/** One part of a JWT: base64url of a JSON object in UTF-8. */
function decodeObject(part: string): Record<string, unknown> | undefined {
  if (!/^[\w-]+$/.test(part)) return undefined;
  try {
    const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
    // A loop: `Uint8Array.from` with a function costs several times as much.
    const bytes = new Uint8Array(binary.length);
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

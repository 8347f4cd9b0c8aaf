/** The setting `TRUSTED_ISSUERS`: third-party issuers of tokens. docs/DEPLOY.md documents its format. */

import { Mistake } from "./setting.ts";

/** An identity provider whose tokens are accepted, as they are by Supabase's REST. */
export interface TrustedIssuer {
  /** The claim `iss`, to the character. */
  issuer: string;
  /** Where its public keys are, as a JSON Web Key Set. */
  jwksUrl: string;
  /** One of these must be in the claim `aud`. Empty: tokens have no `aud`, because the issuer serves a single application. */
  audiences: readonly string[];
  /** Put before the claim `sub` to form the user id, colon included. "" for at most one issuer. */
  prefix: string;
}

const MAX_ISSUERS = 10;
/** The `aud` of Supabase Auth's tokens. */
const DEFAULT_AUDIENCE = "authenticated";
const FIREBASE_KEYS =
  "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/** The facts of each provider, from Supabase's guide to it and its own documentation. */
const PROVIDERS: Readonly<Record<string, (name: string) => Omit<TrustedIssuer, "prefix"> | undefined>> = {
  // https://supabase.com/docs/guides/auth/third-party/clerk. Session tokens have no `aud`.
  clerk: (domain) =>
    isHost(domain)
      ? { issuer: `https://${domain}`, jwksUrl: `https://${domain}/.well-known/jwks.json`, audiences: [] }
      : undefined,
  // https://supabase.com/docs/guides/auth/third-party/auth0. A tenant serves many applications: `audience` must be given.
  auth0: (domain) =>
    isHost(domain)
      ? { issuer: `https://${domain}/`, jwksUrl: `https://${domain}/.well-known/jwks.json`, audiences: [] }
      : undefined,
  // https://firebase.google.com/docs/auth/admin/verify-id-tokens. One key set for all projects: issuer and `aud` tell them apart.
  firebase: (project) =>
    /^[a-z0-9-]{1,64}$/.test(project)
      ? {
        issuer: `https://securetoken.google.com/${project}`,
        jwksUrl: FIREBASE_KEYS,
        audiences: [project],
      }
      : undefined,
  // https://supabase.com/docs/guides/auth/third-party/workos. Access tokens have no `aud`; the issuer has the client's id.
  workos: (client) =>
    /^client_\w{1,64}$/.test(client)
      ? {
        issuer: `https://api.workos.com/user_management/${client}`,
        jwksUrl: `https://api.workos.com/sso/jwks/${client}`,
        audiences: [],
      }
      : undefined,
};
const NAMES = ["issuer", ...Object.keys(PROVIDERS)];

/** Reads a JSON list of issuers. Throws a {@linkcode Mistake} that says what was expected, and of which entry. */
export function trustedIssuers(value: string): readonly TrustedIssuer[] {
  const expected = "must be a JSON list of objects, each with one of " + NAMES.join(", ");
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new Mistake(expected);
  }
  if (!Array.isArray(parsed)) throw new Mistake(expected);
  if (parsed.length > MAX_ISSUERS) throw new Mistake(`must have at most ${MAX_ISSUERS} entries`);
  const issuers = parsed.map((entry: unknown, index) => readEntry(entry, `entry ${index + 1}`));
  checkTogether(issuers);
  return issuers;
}

function readEntry(entry: unknown, where: string): TrustedIssuer {
  const mistake = (what: string): Mistake => new Mistake(`${where}: ${what}`);
  if (!isObject(entry)) throw mistake("must be an object");
  const [name, ...others] = NAMES.filter((name) => Object.hasOwn(entry, name));
  if (name === undefined || others.length > 0) throw mistake(`must have one of ${NAMES.join(", ")}`);
  const known = [name, "jwks", "audience", "prefix"];
  if (!Object.keys(entry).every((key) => known.includes(key))) {
    throw mistake(`may have only ${known.join(", ")}`);
  }

  const subject = entry[name];
  if (typeof subject !== "string") throw mistake(`${name} must be text`);
  const { prefix = "" } = entry;
  if (typeof prefix !== "string" || !/^([a-z][a-z0-9_-]{0,31})?$/.test(prefix)) {
    throw mistake("prefix must be a word of a-z, 0-9, - and _");
  }
  const given = readAudiences(entry.audience, mistake);
  const base = name === "issuer" ? readIssuer(subject, mistake) : PROVIDERS[name]?.(subject);
  if (base === undefined) throw mistake(`${name} must be what docs/DEPLOY.md shows`);
  const { jwks: jwksUrl = base.jwksUrl } = entry;
  if (typeof jwksUrl !== "string" || !isSafeUrl(jwksUrl, { query: true })) {
    throw mistake("jwks must be an https URL (http: loopback only)");
  }
  if (name === "auth0" && given === undefined) {
    throw mistake("auth0 needs audience: the id of the application, or of the API");
  }
  return { ...base, jwksUrl, audiences: given ?? base.audiences, prefix: prefix === "" ? "" : `${prefix}:` };
}

function readIssuer(issuer: string, mistake: (what: string) => Mistake): Omit<TrustedIssuer, "prefix"> {
  if (!isSafeUrl(issuer)) throw mistake("issuer must be an https URL without a query (http: loopback only)");
  const jwksUrl = `${issuer.replace(/\/+$/, "")}/.well-known/jwks.json`;
  return { issuer, jwksUrl, audiences: [DEFAULT_AUDIENCE] };
}

function readAudiences(
  audience: unknown,
  mistake: (what: string) => Mistake,
): readonly string[] | undefined {
  if (audience === undefined) return undefined;
  const list: unknown[] = Array.isArray(audience) ? audience : [audience];
  return list.length === 0
    ? fail()
    : list.map((each) => typeof each === "string" && each !== "" ? each : fail());
  function fail(): never {
    throw mistake("audience must be text, or a list of texts");
  }
}

/** Checks between entries, so that two users can never have the same id. */
function checkTogether(issuers: readonly TrustedIssuer[]): void {
  if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) {
    throw new Mistake("must name each issuer once");
  }
  if (new Set(issuers.map(({ prefix }) => prefix)).size < issuers.length) {
    throw new Mistake("must give each issuer a prefix of its own; only one may be without");
  }
}

/** https, or http on loopback; without credentials or fragment. */
function isSafeUrl(text: string, { query = false } = {}): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, search, hash } = new URL(text);
  if (username !== "" || password !== "" || hash !== "" || (search !== "" && !query)) return false;
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname));
}

/** Whether a URL's host is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function isHost(text: string): boolean {
  return /^(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+$/.test(text);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

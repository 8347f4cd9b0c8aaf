/**
 * The stack's keys. They are fixed and well known, so that a script from yesterday works today. Never use them where
 * others can connect. Only the ES256 pair is generated at each start.
 */

import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

/** The same as in `supabase start`. */
const WELL_KNOWN_JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";
/** Printed in every README: it protects nothing. */
export const WELL_KNOWN_SECRET_KEY = "sb_secret_local_development";
/** 2032-11-09, as in the legacy keys that `supabase start` prints. */
const LEGACY_KEY_EXPIRES_AT = 1_983_812_996;

export interface SigningKey {
  kid: string;
  alg: "ES256" | "RS256";
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  /** The public half, as in the key set. */
  publicJwk: JWK;
}

export interface LocalKeys {
  publishableKey: string;
  secretKey: string;
  /** Signs Lite's HS256 tokens and the legacy keys. */
  jwtSecret: string;
  /** Legacy JWT of the role `anon`. */
  anonKey: string;
  /** Legacy JWT of the role `service_role`. */
  serviceRoleKey: string;
  /** Signs the tokens of `/__local/token`; its public half is in the key set. */
  es256: SigningKey;
}

/** Reads `SUPABASE_PUBLISHABLE_KEY`, `SUPABASE_SECRET_KEY` and `LOCAL_JWT_SECRET`, each with a fixed default. */
export async function createKeys(env: Readonly<Record<string, string>>): Promise<LocalKeys> {
  const jwtSecret = env.LOCAL_JWT_SECRET || WELL_KNOWN_JWT_SECRET;
  return {
    publishableKey: env.SUPABASE_PUBLISHABLE_KEY || "sb_publishable_local_development",
    secretKey: env.SUPABASE_SECRET_KEY || WELL_KNOWN_SECRET_KEY,
    jwtSecret,
    anonKey: await legacyKey("anon", jwtSecret),
    serviceRoleKey: await legacyKey("service_role", jwtSecret),
    es256: await createSigningKey("ES256"),
  };
}

export async function createSigningKey(alg: SigningKey["alg"]): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const kid = crypto.randomUUID();
  return {
    kid,
    alg,
    privateKey,
    publicKey,
    publicJwk: { ...await exportJWK(publicKey), kid, alg, use: "sig", key_ops: ["verify"] },
  };
}

function legacyKey(role: string, jwtSecret: string): Promise<string> {
  const payload: JWTPayload = { iss: "supabase-demo", role, exp: LEGACY_KEY_EXPIRES_AT };
  return new SignJWT(payload).setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(jwtSecret));
}

/** Signatures of JSON Web Tokens, checked by WebCrypto on this machine. */

import { fromBase64Url } from "../token_claims.ts";

/** Signing algorithms with a public key, by their JOSE names (RFC 7518, RFC 8037). */
export const PUBLIC_KEY_ALGORITHMS = ["ES256", "RS256", "EdDSA"] as const;
export type PublicKeyAlgorithm = (typeof PUBLIC_KEY_ALGORITHMS)[number];

interface AlgorithmFacts {
  kty: string;
  crv?: string;
  /** The public parameters of a JWK; all others are ignored. */
  parameters: readonly string[];
  algorithm: { name: string; namedCurve?: string; hash?: string };
}

const FACTS: Readonly<Record<PublicKeyAlgorithm, AlgorithmFacts>> = {
  ES256: {
    kty: "EC",
    crv: "P-256",
    parameters: ["crv", "x", "y"],
    algorithm: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  },
  RS256: {
    kty: "RSA",
    parameters: ["n", "e"],
    algorithm: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  },
  EdDSA: { kty: "OKP", crv: "Ed25519", parameters: ["crv", "x"], algorithm: { name: "Ed25519" } },
};
/** RFC 7518, 3.3. */
const MIN_RSA_BITS = 2048;

/** A public key as JSON (RFC 7517), as it came. */
export type Jwk = Readonly<Record<string, unknown>>;

/**
 * The algorithm of a key, from its type and curve; undefined if it is not supported, or not a signature key. The token does
 * not choose the algorithm.
 */
export function algorithmOf(jwk: Jwk): PublicKeyAlgorithm | undefined {
  const { kty, crv, alg, use = "sig", key_ops: operations = ["verify"] } = jwk;
  if (use !== "sig" || !Array.isArray(operations) || !operations.includes("verify")) return undefined;
  const found = PUBLIC_KEY_ALGORITHMS.find((name) =>
    FACTS[name].kty === kty && (FACTS[name].crv === undefined || FACTS[name].crv === crv)
  );
  const isNamed = alg === undefined || alg === found || (found === "EdDSA" && alg === "Ed25519");
  return isNamed ? found : undefined;
}

/** Imports the public part. Rejects if the key is malformed or too short. */
export async function importPublicKey(jwk: Jwk, alg: PublicKeyAlgorithm): Promise<CryptoKey> {
  const { kty, parameters, algorithm } = FACTS[alg];
  const bare = { kty, ...Object.fromEntries(parameters.map((name) => [name, jwk[name]])) };
  const key = await crypto.subtle.importKey("jwk", bare, algorithm, false, ["verify"]);
  if ("modulusLength" in key.algorithm && Number(key.algorithm.modulusLength) < MIN_RSA_BITS) {
    throw new Error(`Cannot use the key: it has fewer than ${MIN_RSA_BITS} bits`);
  }
  return key;
}

/** Whether the third part of the token is a signature of the first two. Never rejects. */
export async function isSignedBy(token: string, key: CryptoKey, alg: PublicKeyAlgorithm): Promise<boolean> {
  const end = token.lastIndexOf(".");
  const signature = fromBase64Url(token.slice(end + 1));
  if (signature === undefined) return false;
  const signed = new TextEncoder().encode(token.slice(0, end));
  return await crypto.subtle.verify(FACTS[alg].algorithm, key, signature, signed).catch(() => false);
}

/** Access tokens as Supabase Auth makes them, valid and invalid, signed with WebCrypto only. */

export type Claims = Readonly<Record<string, unknown>>;

export interface TokenSigner {
  /** The public key as the auth server publishes it; undefined for a shared secret. */
  readonly jwk: Readonly<Record<string, unknown>> | undefined;
  /** A JWT with these claims. `header` adds to its header or overrides it. */
  sign(claims: Claims, header?: Claims): Promise<string>;
}

const ASYMMETRIC = {
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RS256: {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  },
  EdDSA: { name: "Ed25519" },
} as const;

/** A new key pair with the key id `kid`. */
export async function signingKey(alg: keyof typeof ASYMMETRIC, kid: string): Promise<TokenSigner> {
  const algorithm: AlgorithmIdentifier = ASYMMETRIC[alg];
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new TypeError("Cannot sign: there is no key pair");
  const { privateKey, publicKey } = pair;
  const jwk = { ...await crypto.subtle.exportKey("jwk", publicKey), alg, kid, use: "sig" };
  return {
    jwk,
    sign: (claims, header) => seal(claims, { alg, kid, typ: "JWT", ...header }, algorithm, privateKey),
  };
}

/** The shared secret of an older project; no `kid`. */
export function sharedSecret(secret: string): TokenSigner {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return {
    jwk: undefined,
    async sign(claims, header): Promise<string> {
      const key = await crypto.subtle.importKey("raw", utf8(secret), algorithm, false, ["sign"]);
      return await seal(claims, { alg: "HS256", typ: "JWT", ...header }, algorithm, key);
    },
  };
}

/** A token with an empty signature. */
export function unsigned(claims: Claims, header: Claims): string {
  return `${encode(header)}.${encode(claims)}.`;
}

/** The claims of a signed-in user, valid for an hour from `nowMs`. */
export function userClaims(nowMs: number, changes: Claims = {}): Claims {
  const iat = Math.floor(nowMs / 1000);
  return {
    iss: "http://127.0.0.1/auth/v1",
    sub: "11111111-1111-4111-8111-111111111111",
    aud: "authenticated",
    role: "authenticated",
    email: "ada@example.com",
    session_id: "22222222-2222-4222-8222-222222222222",
    is_anonymous: false,
    iat,
    exp: iat + 3600,
    ...changes,
  };
}

/** The claims of an HS256 token with a valid signature, or undefined, as the auth server verifies it. */
export async function verifyShared(token: string, secret: string): Promise<Claims | undefined> {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  try {
    const key = await crypto.subtle.importKey("raw", utf8(secret), algorithm, false, ["verify"]);
    const good = await crypto.subtle.verify(algorithm, key, decode(signature), utf8(`${header}.${payload}`));
    return good ? JSON.parse(new TextDecoder().decode(decode(payload))) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The public key in several text encodings, by the name of the encoding. In a key confusion attack it is used as the
 * shared secret.
 */
export async function asSecretTexts(signer: TokenSigner): Promise<Readonly<Record<string, string>>> {
  if (signer.jwk === undefined) throw new TypeError("Cannot show a shared secret");
  const algorithm = signer.jwk.alg === "RS256" ? ASYMMETRIC.RS256 : ASYMMETRIC.ES256;
  const key = await crypto.subtle.importKey("jwk", signer.jwk, algorithm, true, ["verify"]);
  const der = new Uint8Array(await crypto.subtle.exportKey("spki", key));
  const lines = btoa(String.fromCharCode(...der)).match(/.{1,64}/g) ?? [];
  const pem = `-----BEGIN PUBLIC KEY-----\n${lines.join("\n")}\n-----END PUBLIC KEY-----\n`;
  return { "PEM": pem, "PEM without its last line break": pem.trim(), "JWK": JSON.stringify(signer.jwk) };
}

async function seal(
  claims: Claims,
  header: Claims,
  algorithm: AlgorithmIdentifier | EcdsaParams,
  key: CryptoKey,
): Promise<string> {
  const text = `${encode(header)}.${encode(claims)}`;
  const signature = await crypto.subtle.sign(algorithm, key, utf8(text));
  return `${text}.${base64url(new Uint8Array(signature))}`;
}

function encode(value: unknown): string {
  return base64url(utf8(JSON.stringify(value)));
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decode(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** What a JSON Web Token says of itself. Whoever relies on it has checked the signature. */

/** `Uint8Array`, which has a type parameter in later versions of TypeScript than the platform's. */
type Bytes = ReturnType<TextEncoder["encode"]>;

export type Claims = Readonly<Record<string, unknown>>;

/** The claims of a token. Throws if it is not a JSON Web Token. */
export function claimsOf(token: string): Claims {
  const bytes = fromBase64Url(token.split(".")[1] ?? "");
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** When a token expires, in milliseconds since the epoch; `Infinity` if it does not say. */
export function expiryOf(token: string): number {
  try {
    const { exp } = claimsOf(token);
    return typeof exp === "number" ? exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}

/** The `role` of `app_metadata`, which users cannot change themselves. It is not the database's role. */
export function appRoleOf(claims: Claims | undefined): string | undefined {
  const metadata = claims?.app_metadata;
  const role = typeof metadata === "object" && metadata !== null && "role" in metadata
    ? metadata.role
    : undefined;
  return typeof role === "string" ? role : undefined;
}

/** Undefined if the text is not base64url. */
export function fromBase64Url(text: string): Bytes | undefined {
  if (!/^[\w-]+$/.test(text) || text.length % 4 === 1) return undefined;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  // A loop: `Uint8Array.from` with a function costs several times as much.
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

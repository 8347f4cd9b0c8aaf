/** A project's own keys, as against its users' tokens. */

import { sha256 } from "./digest.ts";

/**
 * Checks whether a candidate is one of `keys`. Digests are compared, and every one of them to its end, so that the time
 * taken says nothing about how much of a guess was right, nor about the length of a key. An empty key is no key.
 */
export function secretKeyMatcher(keys: readonly string[]): (candidate: string) => Promise<boolean> {
  let known: Promise<Uint8Array[]> | undefined;
  return async (candidate) => {
    const digests = await (known ??= Promise.all(keys.filter((key) => key !== "").map(sha256)));
    const asked = await sha256(candidate);
    let found = false;
    for (const digest of digests) {
      // Not `found ||=`: that would stop comparing at the first match.
      if (equal(digest, asked)) found = true;
    }
    return found;
  };
}

/**
 * Checks whether a token is a public key of a project, which identifies no user: one of `keys`, or anything in the form of a
 * publishable key, as it is no secret whose it is.
 */
export function publishableKeyMatcher(keys: readonly string[]): (token: string) => boolean {
  const known = new Set(keys);
  return (token) => known.has(token) || token.startsWith("sb_publishable_");
}

/** For two of the same length. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (const [index, byte] of a.entries()) difference |= byte ^ (b[index] ?? 0);
  return difference === 0;
}

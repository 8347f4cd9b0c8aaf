/** The client's cursor. A tab's storage keeps it, so that a page can be reloaded in the middle of an answer. */

import type { QueryFrame } from "./frames.ts";
import type { CursorStorage } from "./ports.ts";

/** A query as it is sent, with its id. */
export type SentQuery = QueryFrame & { id: string; replaces?: string };

/** What the client needs to find its session again, and the queries that had no answer yet. */
export interface Cursor {
  sessionId: string;
  resumeToken?: string;
  lastSeq: number;
  /** The user (`sub`) of the token; empty for an anonymous connection. */
  owner: string;
  pending: SentQuery[];
  /** The ids of those queries that the user has stopped. Default: none. */
  cancelled?: string[];
}

/** The cursor under `key`; undefined if there is none, or if it is invalid. */
export function loadCursor(storage: CursorStorage | undefined, key: string): Cursor | undefined {
  try {
    const cursor = JSON.parse(storage?.getItem(key) ?? "{}") as Partial<Cursor>;
    return Array.isArray(cursor.pending) ? cursor as Cursor : undefined;
  } catch {
    return undefined;
  }
}

/** Stores the cursor; undefined removes it. Full or forbidden storage is not an error. */
export function saveCursor(
  storage: CursorStorage | undefined,
  key: string,
  cursor: Cursor | undefined,
): void {
  try {
    if (cursor === undefined) storage?.removeItem(key);
    else storage?.setItem(key, JSON.stringify(cursor));
  } catch {
    // Without a stored cursor, a reload begins a new session.
  }
}

/** The user of a token: its claim `sub`, unverified; empty if there is none. */
export function ownerOf(token: string | undefined): string {
  try {
    const claims: unknown = JSON.parse(asciiOf((token ?? "").split(".")[1] ?? ""));
    return (claims as { sub?: string }).sub ?? "";
  } catch {
    return "";
  }
}

const BASE64_URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Decodes base64url, byte by byte. Older versions of React Native have no `atob`. */
function asciiOf(encoded: string): string {
  let text = "";
  let bits = 0;
  let count = 0;
  for (const digit of encoded.replaceAll("=", "")) {
    bits = (bits << 6 | BASE64_URL.indexOf(digit)) & 0xffff;
    count += 6;
    if (count >= 8) text += String.fromCharCode(bits >> (count -= 8) & 0xff);
  }
  return text;
}

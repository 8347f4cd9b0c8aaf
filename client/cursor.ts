/** The client's cursor: kept in a tab's storage, so that a page can be reloaded in the middle of an answer. */

import type { QueryFrame } from "./frames.ts";
import type { CursorStorage } from "./ports.ts";

/** A question as it goes over the wire, with its id. */
export type SentQuery = QueryFrame & { id: string };

/** What a session is found again by, and what was asked of it and not answered. */
export interface Cursor {
  sessionId: string;
  resumeToken?: string;
  lastSeq: number;
  /** The user (`sub`) whose token it was; empty for an anonymous one. */
  owner: string;
  pending: SentQuery[];
}

/** The cursor under `key`; undefined if there is none, or an invalid one. */
export function loadCursor(storage: CursorStorage | undefined, key: string): Cursor | undefined {
  try {
    const cursor = JSON.parse(storage?.getItem(key) ?? "{}") as Partial<Cursor>;
    return Array.isArray(cursor.pending) ? cursor as Cursor : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps it; undefined removes what was kept. Storage that is full or forbidden is no reason to fail. */
export function saveCursor(
  storage: CursorStorage | undefined,
  key: string,
  cursor: Cursor | undefined,
): void {
  try {
    if (cursor === undefined) storage?.removeItem(key);
    else storage?.setItem(key, JSON.stringify(cursor));
  } catch {
    // Without it a reload starts a session afresh.
  }
}

/** The user of a token: the claim `sub`, unverified; empty if there is none. */
export function ownerOf(token: string | undefined): string {
  try {
    const payload = (token ?? "").split(".")[1] ?? "";
    const claims: unknown = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    return (claims as { sub?: string }).sub ?? "";
  } catch {
    return "";
  }
}

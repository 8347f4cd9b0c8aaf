/** The keys of limits and token budgets. */

import type { SessionRecord } from "../ports/session_store.ts";

/** The key of a user, the same at all workers. */
export function userKey(userId: string): string {
  return `user:${userId}`;
}

/** The key of an address. */
export function addressQuotaKey(address: string): string {
  return `address:${address}`;
}

/** A user's session: the user. An anonymous session: the session, and its address if that is known. */
export function quotaKeysOf({ sessionId, owner }: SessionRecord, address?: string): readonly string[] {
  if (owner.kind === "user") return [userKey(owner.userId)];
  return [`session:${sessionId}`, ...(address === undefined ? [] : [addressQuotaKey(address)])];
}

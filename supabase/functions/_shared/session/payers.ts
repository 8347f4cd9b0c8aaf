/** Whose limits and budgets something counts against. */

import type { SessionRecord } from "../ports/session_store.ts";

/** The name under which a user's use is counted, at all workers. */
export function userKey(userId: string): string {
  return `user:${userId}`;
}

/** The same for an address. */
export function addressPayer(address: string): string {
  return `address:${address}`;
}

/** A user's own; of an anonymous session the session's, and its address's where that is known. */
export function payersOf({ sessionId, owner }: SessionRecord, address?: string): readonly string[] {
  if (owner.kind === "user") return [userKey(owner.userId)];
  return [`session:${sessionId}`, ...(address === undefined ? [] : [addressPayer(address)])];
}

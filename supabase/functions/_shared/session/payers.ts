/** Whose limits and budgets something counts against. */

import type { SessionRecord } from "../ports.ts";

/** A user's own; of an anonymous session the session's, and its address's where that is known. */
export function payersOf({ sessionId, owner }: SessionRecord, address?: string): readonly string[] {
  if (owner.kind === "user") return [`user:${owner.userId}`];
  return [`session:${sessionId}`, ...(address === undefined ? [] : [`address:${address}`])];
}

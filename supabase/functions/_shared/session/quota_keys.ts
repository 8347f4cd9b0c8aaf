/** The keys of limits and budgets. */

import type { SessionRecord } from "../ports/session_store.ts";
import type { MeteredCall } from "../usage/call_meter.ts";
import type { Question } from "./core/turn.ts";

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

/** For whom a turn's requests to the model are accounted. */
export function meteredCallOf({ turnId, quotaKeys }: Question, record: SessionRecord): MeteredCall {
  const { sessionId, owner } = record;
  return {
    sessionId,
    turnId,
    userId: owner.kind === "user" ? owner.userId : undefined,
    quotaKeys: quotaKeys.length > 0 ? quotaKeys : quotaKeysOf(record),
  };
}

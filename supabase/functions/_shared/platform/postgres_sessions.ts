/** Sessions and the list of conversations in the project's database. */

import type {
  Conversation,
  ConversationRange,
  ConversationsOf,
  ConversationStore,
} from "../ports/conversation_store.ts";
import type { SessionOwner, SessionRecord, SessionStore, StoredSession } from "../ports/session_store.ts";
import { items, noError, refusal, toConversation, toStored } from "./store_answers.ts";
import { callStore } from "./store_call.ts";
import type { StoreRpc } from "./store_rpc.ts";

/** How session ids look. The functions' parameters take no other text. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Of the events of one page, as JSON. */
export const MAX_PAGE_BYTES = 1024 * 1024;

export interface PostgresSessionsOptions {
  rpc: StoreRpc;
  workerId: string;
  /** How long a call may take with all attempts. */
  withinMs: number;
}

/** A session that is not used expires by {@linkcode PostgresStore.prune} only. */
export class PostgresSessions implements SessionStore, ConversationStore {
  readonly #options: PostgresSessionsOptions;

  constructor(options: PostgresSessionsOptions) {
    this.#options = options;
  }

  async create({ sessionId, owner, chatId, agent, createdAt }: SessionRecord): Promise<void> {
    await this.#call("agent_create_conversation", {
      p_session: sessionId,
      p_user: owner.kind === "user" ? owner.userId : null,
      p_token_hash: owner.kind === "anonymous" ? owner.tokenHash : null,
      p_chat: chatId ?? null,
      p_created_at: createdAt,
      p_agent: agent ?? null,
    }, noError);
  }

  async find(
    sessionId: string,
    claims: readonly SessionOwner[],
    { tail }: { tail: number },
  ): Promise<StoredSession | undefined> {
    if (!UUID.test(sessionId)) return undefined;
    return await this.#find({ p_session: sessionId, p_chat: null }, claims, tail);
  }

  async findByChat(
    chatId: string,
    claims: readonly SessionOwner[],
    { tail }: { tail: number },
  ): Promise<StoredSession | undefined> {
    return await this.#find({ p_session: null, p_chat: chatId }, claims, tail);
  }

  async remove(sessionId: string): Promise<void> {
    if (UUID.test(sessionId)) await this.#call("agent_remove_session", { p_session: sessionId }, noError);
  }

  async list(
    whose: ConversationsOf,
    { limit, before, isArchived = false, search }: ConversationRange,
  ): Promise<readonly Conversation[]> {
    if (before !== undefined && !UUID.test(before)) return [];
    if ("sessionId" in whose && !UUID.test(whose.sessionId)) return [];
    return await this.#call("agent_list_conversations", {
      p_user: "userId" in whose ? whose.userId : null,
      p_session: "sessionId" in whose ? whose.sessionId : null,
      p_limit: limit,
      p_before: before ?? null,
      p_archived: isArchived,
      p_search: search ?? null,
    }, (answer) => items(answer).map(toConversation));
  }

  async rename(sessionId: string, claims: readonly SessionOwner[], title: string): Promise<void> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    await this.#call("agent_set_title", {
      p_session: sessionId,
      p_claims: toClaims(claims),
      p_title: title,
      p_by: "user",
    }, noError);
  }

  async suggestTitle(sessionId: string, title: string): Promise<void> {
    await this.#call("agent_set_title", {
      p_session: sessionId,
      p_claims: null,
      p_title: title,
      p_by: "model",
    }, noError);
  }

  async setArchived(sessionId: string, claims: readonly SessionOwner[], isArchived: boolean): Promise<void> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    await this.#call("agent_archive_session", {
      p_session: sessionId,
      p_claims: toClaims(claims),
      p_archived: isArchived,
    }, noError);
  }

  async #find(
    which: { p_session: string; p_chat: null } | { p_session: null; p_chat: string },
    claims: readonly SessionOwner[],
    tail: number,
  ): Promise<StoredSession | undefined> {
    return await this.#call("agent_find_conversation", {
      ...which,
      p_claims: toClaims(claims),
      p_tail: tail,
      p_max_bytes: MAX_PAGE_BYTES,
      p_worker: this.#options.workerId,
    }, (answer) => answer === null ? undefined : toStored(answer));
  }

  async #call<T>(name: string, args: Record<string, unknown>, use: (answer: unknown) => T): Promise<T> {
    const { rpc, withinMs } = this.#options;
    return await callStore(rpc, { name, args, withinMs, use });
  }
}

export function toClaims(claims: readonly SessionOwner[]): ({ user_id: string } | { token_hash: string })[] {
  return claims.map((claim) =>
    claim.kind === "user" ? { user_id: claim.userId } : { token_hash: claim.tokenHash }
  );
}

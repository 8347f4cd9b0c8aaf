/**
 * The stores of this worker's sessions: new ones go where `SESSION_STORE` leads to, and each stays where it was made. A
 * worker that began in memory, because the migration was missing, may find the database later; its sessions in memory live
 * on there, and end with it.
 */

import type {
  Committed,
  EventLog,
  Feedback,
  LogPage,
  LogRange,
  LogWrite,
  VisiblePage,
  VisibleRange,
} from "../ports/event_log.ts";
import type {
  Conversation,
  ConversationRange,
  ConversationsOf,
  ConversationStore,
} from "../ports/conversation_store.ts";
import type { SessionOwner, SessionRecord, SessionStore, StoredSession } from "../ports/session_store.ts";
import type { Probed, StoreChoice } from "../store_choice.ts";

type Store = SessionStore & ConversationStore & EventLog;

export interface ChosenStoreOptions {
  choice: StoreChoice<Store & Probed>;
  /** For where nothing outlives the worker. */
  memory: Store & { has(sessionId: string): boolean };
}

export class ChosenStore implements SessionStore, ConversationStore, EventLog {
  readonly #choice: ChosenStoreOptions["choice"];
  readonly #memory: ChosenStoreOptions["memory"];

  constructor({ choice, memory }: ChosenStoreOptions) {
    this.#choice = choice;
    this.#memory = memory;
  }

  /** Whether a session outlives this worker. */
  isDurable(sessionId: string): boolean {
    return this.#choice.durable !== undefined && !this.#memory.has(sessionId);
  }

  async create(record: SessionRecord): Promise<void> {
    await (await this.#choice.choose() ?? this.#memory).create(record);
  }

  /** Rejects with `store_unavailable` also while it is not sure that there is no database to look into. */
  async find(
    sessionId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined> {
    if (this.#memory.has(sessionId)) return await this.#memory.find(sessionId, claims, options);
    return await (await this.#choice.chooseKnown())?.find(sessionId, claims, options);
  }

  /** Rejects as `find` does. */
  async findByChat(
    chatId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined> {
    return await this.#memory.findByChat(chatId, claims, options) ??
      await (await this.#choice.chooseKnown())?.findByChat(chatId, claims, options);
  }

  /** Those in memory first: `before` names the last of a page in one store or the other. */
  async list(whose: ConversationsOf, range: ConversationRange): Promise<readonly Conversation[]> {
    if ("sessionId" in whose) {
      if (this.#memory.has(whose.sessionId)) return await this.#memory.list(whose, range);
      return await (await this.#choice.chooseKnown())?.list(whose, range) ?? [];
    }
    const durable = await this.#choice.choose();
    if (durable === undefined) return await this.#memory.list(whose, range);
    const { before, ...whole } = range;
    if (before !== undefined && !this.#memory.has(before)) return await durable.list(whose, range);
    const here = await this.#memory.list(whose, range);
    if (here.length === range.limit) return here;
    return [...here, ...await durable.list(whose, { ...whole, limit: range.limit - here.length })];
  }

  rename(sessionId: string, claims: readonly SessionOwner[], title: string): Promise<void> {
    return this.#storeOf(sessionId).rename(sessionId, claims, title);
  }

  suggestTitle(sessionId: string, title: string): Promise<void> {
    return this.#storeOf(sessionId).suggestTitle(sessionId, title);
  }

  setArchived(sessionId: string, claims: readonly SessionOwner[], isArchived: boolean): Promise<void> {
    return this.#storeOf(sessionId).setArchived(sessionId, claims, isArchived);
  }

  remove(sessionId: string): Promise<void> {
    return this.#storeOf(sessionId).remove(sessionId);
  }

  commit(sessionId: string, write: LogWrite): Promise<Committed> {
    return this.#storeOf(sessionId).commit(sessionId, write);
  }

  read(sessionId: string, range: LogRange): Promise<LogPage> {
    return this.#storeOf(sessionId).read(sessionId, range);
  }

  readVisible(sessionId: string, range: VisibleRange): Promise<VisiblePage> {
    return this.#storeOf(sessionId).readVisible(sessionId, range);
  }

  async heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { here = [], there = [] } = Object.groupBy(
      sessionIds,
      (id) => this.isDurable(id) ? "there" : "here",
    );
    const found = await Promise.all([
      this.#memory.heads(here),
      there.length > 0 ? this.#choice.durable?.heads(there) : undefined,
    ]);
    return new Map(found.flatMap((heads) => [...heads ?? []]));
  }

  recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }> {
    return this.#storeOf(sessionId).recordFeedback(sessionId, feedback);
  }

  /** No session can be in use before one was created or found. */
  #storeOf(sessionId: string): Store {
    return (this.isDurable(sessionId) ? this.#choice.durable : undefined) ?? this.#memory;
  }
}

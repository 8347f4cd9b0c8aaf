/** The store of this worker's sessions: the one that `SESSION_STORE` leads to. */

import type {
  Committed,
  EventLog,
  Feedback,
  ListOptions,
  LogPage,
  LogRange,
  LogWrite,
  SessionOwner,
  SessionRecord,
  SessionStore,
  StoredSession,
} from "../ports.ts";
import type { Probed, StoreChoice } from "../store_choice.ts";

type Store = SessionStore & EventLog;

export interface ChosenStoreOptions {
  choice: StoreChoice<Store & Probed>;
  /** For where nothing outlives the worker. */
  memory: Store;
}

export class ChosenStore implements SessionStore, EventLog {
  readonly #choice: StoreChoice<Store & Probed>;
  readonly #memory: Store;

  constructor({ choice, memory }: ChosenStoreOptions) {
    this.#choice = choice;
    this.#memory = memory;
  }

  async create(record: SessionRecord): Promise<void> {
    await (await this.#choose()).create(record);
  }

  async find(
    sessionId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined> {
    return await (await this.#choose()).find(sessionId, claims, options);
  }

  async list(userId: string, options: ListOptions): Promise<readonly SessionRecord[]> {
    return await (await this.#choose()).list(userId, options);
  }

  remove(sessionId: string): Promise<void> {
    return this.#known.remove(sessionId);
  }

  commit(sessionId: string, write: LogWrite): Promise<Committed> {
    return this.#known.commit(sessionId, write);
  }

  read(sessionId: string, range: LogRange): Promise<LogPage> {
    return this.#known.read(sessionId, range);
  }

  heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#known.heads(sessionIds);
  }

  recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }> {
    return this.#known.recordFeedback(sessionId, feedback);
  }

  /** Nobody has a session before one was created or found. */
  get #known(): Store {
    return this.#choice.durable ?? this.#memory;
  }

  async #choose(): Promise<Store> {
    return await this.#choice.choose() ?? this.#memory;
  }
}

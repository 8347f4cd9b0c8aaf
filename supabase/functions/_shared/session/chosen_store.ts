/**
 * `SESSION_STORE`: the store that survives the worker where the project has one, or this worker's memory.
 *
 * Which it is takes a call to the database to know, so it is asked when the first session is wanted.
 */

import { AgentError } from "../errors.ts";
import type {
  Committed,
  EventLog,
  Feedback,
  ListOptions,
  Log,
  LogPage,
  LogRange,
  LogWrite,
  SessionOwner,
  SessionRecord,
  SessionStore,
  StoredSession,
} from "../ports.ts";

type Store = SessionStore & EventLog;

export interface DurableStore extends Store {
  /** Whether the project has its tables and functions. Rejects with `store_unavailable` where that cannot be known. */
  probe(): Promise<"postgres" | "missing">;
}

export interface ChosenStoreOptions {
  mode: "auto" | "postgres" | "memory";
  log: Log;
  memory: Store;
  /** Undefined where there is no project to have one. */
  durable: DurableStore | undefined;
}

export class ChosenStore implements SessionStore, EventLog {
  readonly #options: ChosenStoreOptions;
  #chosen: Store | undefined;
  #choosing: Promise<Store> | undefined;

  constructor(options: ChosenStoreOptions) {
    this.#options = options;
    const { mode, durable, memory } = options;
    if (mode === "memory" || durable === undefined) this.#chosen = memory;
  }

  /** For `/health`; `unknown` before the first session. */
  get name(): "memory" | "postgres" | "unknown" {
    if (this.#chosen === undefined) return "unknown";
    return this.#chosen === this.#options.memory ? "memory" : "postgres";
  }

  get isDurable(): boolean {
    return this.name === "postgres";
  }

  /** Settles when it is known which it is. Rejects with `store_unavailable` where that cannot be known. */
  async ready(): Promise<void> {
    await this.#choose();
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
    return this.#chosen ?? this.#options.memory;
  }

  async #choose(): Promise<Store> {
    if (this.#chosen !== undefined) return this.#chosen;
    this.#choosing ??= this.#ask().finally(() => this.#choosing = undefined);
    return await this.#choosing;
  }

  async #ask(): Promise<Store> {
    const { mode, log, memory, durable } = this.#options;
    const found = await durable?.probe();
    if (found === "postgres" && durable !== undefined) return this.#chosen = durable;
    const advice = "apply supabase/migrations with: supabase db push";
    if (mode === "postgres") {
      log.write({ level: "error", event: "store_missing", advice });
      throw new AgentError("store_unavailable", "Cannot open a session: the session store is not set up", {
        retryable: true,
        retryAfterMs: 30_000,
      });
    }
    log.write({ level: "warn", event: "store_in_memory", durable: false, advice });
    return this.#chosen = memory;
  }
}

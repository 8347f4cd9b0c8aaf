/** Room for sessions, in number and in memory: each has its place from before the first wait until it is held, or is not made. */

import { AgentError } from "../errors.ts";
import { type MemoryBudget, OVERHEAD_BYTES } from "../guard/memory_budget.ts";
import type { Session } from "./session.ts";

/** When a client that found no room should try again. */
const RETRY_OPEN_MS = 5000;

/** What there is no room in. */
export type Lack = "sessions" | "memory";

/** A place that is reserved; the code that reserved it must release it in every case. */
export type Place = symbol;

export interface RoomOptions {
  /** Sessions of this worker; 0 for any number. */
  maxSessions: number;
  memory: MemoryBudget;
  sessions: ReadonlyMap<string, Session>;
  /** Whether a session may go for another one. */
  mayGo(session: Session): boolean;
  /** Rejects as the store does. */
  evict(session: Session, lack: Lack): Promise<void>;
}

export class Room {
  readonly #options: RoomOptions;
  readonly #reserved = new Set<Place>();

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /**
   * Reserves a place for the session that `make` may make. Rejects with `too_many_sessions` where nothing may go for it, and as
   * `make` does.
   */
  async reserve<T>(make: (place: Place) => T | Promise<T>): Promise<T> {
    for (let lack = this.#lack; lack !== undefined; lack = this.#lack) await this.#makeRoom(lack);
    const place = Symbol();
    this.#reserved.add(place);
    try {
      return await make(place);
    } finally {
      this.#reserved.delete(place);
    }
  }

  /** The session is held: from now on it counts itself. */
  taken(place: Place): void {
    this.#reserved.delete(place);
  }

  get #lack(): Lack | undefined {
    const { maxSessions, memory, sessions } = this.#options;
    if (maxSessions > 0 && sessions.size + this.#reserved.size >= maxSessions) return "sessions";
    return memory.hasRoomFor((1 + this.#reserved.size) * OVERHEAD_BYTES.session) ? undefined : "memory";
  }

  /** The session that was left longest ago goes first; a session with connections or a running turn stays. */
  async #makeRoom(lack: Lack): Promise<void> {
    const { sessions, mayGo, evict } = this.#options;
    let oldest: Session | undefined;
    for (const session of sessions.values()) {
      if (!mayGo(session)) continue;
      if (oldest === undefined || session.lastActivity < oldest.lastActivity) oldest = session;
    }
    if (oldest !== undefined) return await evict(oldest, lack);
    const why = lack === "sessions" ? "holds all it can" : "has no memory left";
    throw new AgentError("too_many_sessions", `Cannot open a session: this worker ${why}`, {
      retryable: true,
      retryAfterMs: RETRY_OPEN_MS,
    });
  }
}

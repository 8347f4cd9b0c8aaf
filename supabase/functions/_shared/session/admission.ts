/**
 * Limits of connections: of the worker, of an address, of a user. The slots that a connection holds are kept with it
 * here, and given back when it is gone, whatever it was waiting for.
 */

import { AgentError } from "../errors.ts";
import type { MemoryBudget } from "../guard/memory_budget.ts";
import type { RateLimiter } from "../guard/rate_limiter.ts";
import type { SharedUse } from "../guard/shared_use.ts";
import type { Slot, Slots } from "../guard/slots.ts";
import type { Connection } from "./connection.ts";
import { addressQuotaKey, userKey } from "./quota_keys.ts";

/** When a client that found no room should try again. */
const RETRY_CONNECT_MS = 5000;

export interface AdmissionOptions {
  /** Connections of this worker, of one user, and of one address that is no user's; 0 for any number. */
  maxConnections: number;
  maxConnectionsPerUser: number;
  maxConnectionsPerAddress: number;
  /** Connections of each address; those who watch count too. */
  addresses: Slots;
  /** Counts a user's connections over all workers. */
  use: Pick<SharedUse, "connect">;
  /** New anonymous sessions of an address. */
  newSessions: RateLimiter;
  /** What the worker keeps. */
  memory: Pick<MemoryBudget, "admit">;
}

/** A socket that takes places. */
export interface Holder {
  /** The key of its limits until the user is known. */
  readonly address: string;
  /** The socket is gone. */
  lost(code: number): void;
}

interface Held {
  /** To be called when the socket is gone. */
  onGone(): void;
  address: Slot | undefined;
  user: Slot | undefined;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #held = new Map<Holder, Held>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Every socket that is not gone. */
  get holders(): Iterable<Holder> {
    return this.#held.keys();
  }

  get size(): number {
    return this.#held.size;
  }

  /** A socket is coming up. */
  add(holder: Holder, onGone: () => void): void {
    this.#held.set(holder, { onGone, address: undefined, user: undefined });
  }

  /** It is open. Throws `too_many_connections`. */
  open(holder: Holder): void {
    const { maxConnections, maxConnectionsPerAddress, addresses, memory } = this.#options;
    if (maxConnections > 0 && this.#held.size > maxConnections) {
      throw tooManyConnections("this worker holds all it can");
    }
    if (!memory.admit(0)) throw tooManyConnections("this worker has no memory left");
    const slot = addresses.take(holder.address, maxConnectionsPerAddress);
    if (slot === undefined) throw tooManyConnections("this address has all it may have");
    this.#keep(holder, "address", slot);
  }

  /** It is a user's, and no longer its address's. Rejects with `too_many_connections`, `store_unavailable`. */
  async enterUser(holder: Holder, userId: string): Promise<void> {
    const { use, maxConnectionsPerUser } = this.#options;
    const slot = await use.connect(userKey(userId), maxConnectionsPerUser);
    if (slot === undefined) throw tooManyConnections("this user has all they may have");
    this.#keep(holder, "user", slot);
    this.#held.get(holder)?.address?.release();
  }

  /** A new session is made for it: one of an anonymous caller counts. Throws `too_many_sessions`. */
  chargeSession({ identity, address }: Connection): void {
    if (identity?.kind !== "anonymous") return;
    const verdict = this.#options.newSessions.take([addressQuotaKey(address)]);
    if (verdict.allowed) return;
    throw new AgentError("too_many_sessions", "Cannot open a session: too many are new from this address", {
      retryable: true,
      retryAfterMs: verdict.retryAfterMs,
    });
  }

  /** Throws `too_many_connections` where an anonymous session has so many already. */
  checkSession(connections: number): void {
    const { maxConnectionsPerUser } = this.#options;
    if (maxConnectionsPerUser > 0 && connections >= maxConnectionsPerUser) {
      throw tooManyConnections("this session has all it may have");
    }
  }

  /** Its socket is gone. */
  release(holder: Holder): void {
    const held = this.#held.get(holder);
    if (held === undefined) return;
    this.#held.delete(holder);
    held.address?.release();
    held.user?.release();
    held.onGone();
  }

  /** Keeps a slot with its socket; where that has gone meanwhile it is given back. */
  #keep(holder: Holder, kind: "address" | "user", slot: Slot): void {
    const held = this.#held.get(holder);
    if (held === undefined) slot.release();
    else held[kind] = slot;
  }
}

function tooManyConnections(why: string): AgentError {
  return new AgentError("too_many_connections", `Cannot connect: ${why}`, {
    retryable: true,
    retryAfterMs: RETRY_CONNECT_MS,
  });
}

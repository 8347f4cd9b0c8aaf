/** Looks for idle sessions, and lets the store forget old ones: one timer, and only while there are sessions. */

import type { CancelTimer, Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import { stamp } from "../protocol/stamp.ts";
import type { Session } from "./session.ts";

export interface IdleSweepOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  /** Milliseconds without a message after which a session ends; 0 for never. */
  idleTimeoutMs: number;
  sweepIntervalMs: number;
  isDurable(sessionId: string): boolean;
  sessions: ReadonlyMap<string, Session>;
  /** Ends a session. Where it rejects the next sweep tries again. */
  expire(session: Session): Promise<void>;
  /** Deletes long unused sessions from the store: at each sweep, while there are durable sessions. */
  prune?(): Promise<unknown>;
}

export class IdleSweep {
  readonly #options: IdleSweepOptions;
  #cancelTimer: CancelTimer | undefined;

  constructor(options: IdleSweepOptions) {
    this.#options = options;
  }

  /** Sweeps from now on, for as long as there are sessions. */
  start(): void {
    const { clock, idleTimeoutMs, sweepIntervalMs, sessions, prune } = this.#options;
    if (idleTimeoutMs === 0 && prune === undefined) return;
    this.#cancelTimer ??= clock.after(sweepIntervalMs, () => {
      this.#cancelTimer = undefined;
      const hasDurable = [...sessions.keys()].some((id) => this.#options.isDurable(id));
      for (const session of [...sessions.values()]) this.#look(session);
      if (hasDurable) this.#prune();
      if (sessions.size > 0) this.start();
    });
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #look(session: Session): void {
    const { clock, log, lifetime, idleTimeoutMs, isDurable, expire } = this.#options;
    const { sessionId } = session.record;
    if (idleTimeoutMs === 0 || clock.now() - session.lastActivity <= idleTimeoutMs) {
      if (isDurable(sessionId)) session.keepAlive();
      return;
    }
    lifetime.hold(
      expire(session).catch((error) =>
        log.write({ level: "error", event: "session_remove_failed", session_id: sessionId, error })
      ),
    );
  }

  #prune(): void {
    const { prune, log, lifetime } = this.#options;
    if (prune === undefined) return;
    lifetime.hold(prune().catch((error) => log.write({ level: "warn", event: "prune_failed", error })));
  }
}

/** Tells the connections of a session that it has expired. */
export function announceExpiry(session: Session, { clock, log }: { clock: Clock; log: Log }): void {
  log.write({ level: "info", event: "session_expired", session_id: session.record.sessionId });
  for (const connection of session.connections) {
    connection.send({
      type: "notification",
      code: "session_timeout",
      content: "Session closed due to inactivity",
      timestamp: stamp(clock.now()),
    });
  }
}

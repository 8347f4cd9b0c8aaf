/** Looks for idle sessions, and lets the store forget old ones: one timer, and only while there are sessions. */

import type { CancelTimer, Clock, Log, WorkerLifetime } from "../ports.ts";
import type { Session } from "./session.ts";

export interface IdleSweepOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  /** Milliseconds without a message after which a session ends; 0 for never. */
  idleTimeoutMs: number;
  sweepIntervalMs: number;
  isDurable(): boolean;
  sessions: ReadonlyMap<string, Session>;
  /** Ends a session. Where it rejects the next sweep tries again. */
  expire(session: Session): Promise<void>;
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
    const { clock, idleTimeoutMs, sweepIntervalMs, sessions } = this.#options;
    if (idleTimeoutMs === 0) return;
    this.#cancelTimer ??= clock.after(sweepIntervalMs, () => {
      this.#cancelTimer = undefined;
      for (const session of [...sessions.values()]) this.#look(session);
      this.#prune();
      if (sessions.size > 0) this.start();
    });
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #look(session: Session): void {
    const { clock, log, lifetime, idleTimeoutMs, isDurable, expire } = this.#options;
    if (clock.now() - session.lastActivity <= idleTimeoutMs) {
      if (isDurable()) lifetime.hold(session.keepAlive());
      return;
    }
    const { sessionId } = session.record;
    lifetime.hold(
      expire(session).catch((error) =>
        log.write({ level: "error", event: "session_remove_failed", session_id: sessionId, error })
      ),
    );
  }

  #prune(): void {
    const { prune, isDurable, log, lifetime } = this.#options;
    if (prune === undefined || !isDurable()) return;
    lifetime.hold(prune().catch((error) => log.write({ level: "warn", event: "prune_failed", error })));
  }
}

/**
 * Asks the store how far its sessions are: doorbells may get lost, and a relay that was away has brought none.
 *
 * One call for all sessions that somebody here is shown, every {@linkcode ROLL_CALL_MS}; and at once after a gap.
 */

import { toAgentError } from "../errors.ts";
import type { CancelTimer, Clock, EventLog, Log, WorkerLifetime } from "../ports.ts";
import type { Session } from "./session.ts";

export const ROLL_CALL_MS = 15_000;

export interface RollCallOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  eventLog: EventLog;
  sessions(): Iterable<Session>;
  /** Whether other workers may write to a session. */
  isDurable(sessionId: string): boolean;
}

export class RollCall {
  readonly #options: RollCallOptions;
  #cancelTimer: CancelTimer | undefined;
  #isCalling = false;
  #isStopped = false;

  constructor(options: RollCallOptions) {
    this.#options = options;
  }

  /** A session is shown to somebody: calls from now on, for as long as there is one that other workers may write to. */
  start(sessionId: string): void {
    if (this.#options.isDurable(sessionId)) this.#callLater();
  }

  /** Calls now. */
  now(): void {
    const { lifetime, sessions, isDurable } = this.#options;
    if (this.#isCalling || this.#isStopped) return;
    const shown = Array.from(sessions()).filter(({ feed, record }) =>
      feed.connections.size > 0 && isDurable(record.sessionId)
    );
    if (shown.length === 0) return;
    this.#isCalling = true;
    lifetime.hold(
      this.#call(shown).finally(() => {
        this.#isCalling = false;
        this.#callLater();
      }),
    );
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  #callLater(): void {
    if (this.#isStopped) return;
    this.#cancelTimer ??= this.#options.clock.after(ROLL_CALL_MS, () => {
      this.#cancelTimer = undefined;
      this.now();
    });
  }

  async #call(sessions: readonly Session[]): Promise<void> {
    const { eventLog, log } = this.#options;
    try {
      const heads = await eventLog.heads(sessions.map(({ record }) => record.sessionId));
      for (const session of sessions) {
        const head = heads.get(session.record.sessionId);
        if (head === undefined) session.receive({ kind: "deleted" });
        else session.catchUp(head);
      }
    } catch (thrown) {
      log.write({ level: "warn", event: "roll_call_failed", error: toAgentError(thrown) });
    }
  }
}

/**
 * Polls the newest `seq` of sessions from the store (anti-entropy): doorbells on the relay may get lost.
 *
 * One call for all sessions with a connection here, every {@linkcode HEAD_POLL_MS}, and at once after a gap of the relay.
 */

import { toAgentError } from "../errors.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { CancelTimer, Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import type { Session } from "./session.ts";

/** Time between two polls, in milliseconds. */
export const HEAD_POLL_MS = 15_000;
/** Delay after a failed poll, in milliseconds. */
const RETRY_MS = 1000;

export interface HeadPollerOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  eventLog: EventLog;
  sessions(): Iterable<Session>;
  /** Whether other workers may write to a session. */
  isDurable(sessionId: string): boolean;
}

export class HeadPoller {
  readonly #options: HeadPollerOptions;
  #cancelTimer: CancelTimer | undefined;
  #isPolling = false;
  /** Another poll was requested while one was in flight. */
  #isWanted = false;
  #isStopped = false;

  constructor(options: HeadPollerOptions) {
    this.#options = options;
  }

  /** A session has got a connection: polls as long as there is such a session that other workers may write to. */
  start(sessionId: string): void {
    if (this.#options.isDurable(sessionId)) this.#pollLater();
  }

  /** Polls at once. */
  pollNow(): void {
    const { lifetime, sessions, isDurable } = this.#options;
    if (this.#isStopped) return;
    if (this.#isPolling) return void (this.#isWanted = true);
    this.#isWanted = false;
    const shown = Array.from(sessions()).filter(({ connectionCount, record }) =>
      connectionCount > 0 && isDurable(record.sessionId)
    );
    if (shown.length === 0) return;
    this.#isPolling = true;
    lifetime.hold(
      this.#poll(shown).then((isAnswered) => {
        this.#isPolling = false;
        if (this.#isWanted) return this.pollNow();
        if (isAnswered) return this.#pollLater();
        this.#cancelTimer?.();
        this.#cancelTimer = undefined;
        this.#pollLater(RETRY_MS);
      }),
    );
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  #pollLater(delayMs = HEAD_POLL_MS): void {
    if (this.#isStopped) return;
    this.#cancelTimer ??= this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = undefined;
      this.pollNow();
    });
  }

  /** Resolves to whether the store answered. */
  async #poll(sessions: readonly Session[]): Promise<boolean> {
    const { eventLog, log } = this.#options;
    try {
      const heads = await eventLog.heads(sessions.map(({ record }) => record.sessionId));
      for (const session of sessions) {
        const head = heads.get(session.record.sessionId);
        if (head === undefined) session.receive({ kind: "deleted" });
        else session.catchUp(head);
      }
      return true;
    } catch (thrown) {
      log.write({ level: "warn", event: "head_poll_failed", error: toAgentError(thrown) });
      return false;
    }
  }
}

/**
 * Asks the store how far its sessions are: doorbells may get lost, and a relay that was away has brought none.
 *
 * One call for all sessions that somebody here is shown, every {@linkcode ROLL_CALL_MS}; and at once after a gap.
 */

import { toAgentError } from "../errors.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { CancelTimer, Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import type { Session } from "./session.ts";

export const ROLL_CALL_MS = 15_000;
/** After a call that failed: what was missed is still missing. */
const RETRY_MS = 1000;

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
  /** Something may have been missed since the call that is under way was made. */
  #isWanted = false;
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
    if (this.#isStopped) return;
    if (this.#isCalling) return void (this.#isWanted = true);
    this.#isWanted = false;
    const shown = Array.from(sessions()).filter(({ connectionCount, record }) =>
      connectionCount > 0 && isDurable(record.sessionId)
    );
    if (shown.length === 0) return;
    this.#isCalling = true;
    lifetime.hold(
      this.#call(shown).then((isAnswered) => {
        this.#isCalling = false;
        if (this.#isWanted) return this.now();
        if (isAnswered) return this.#callLater();
        this.#cancelTimer?.();
        this.#cancelTimer = undefined;
        this.#callLater(RETRY_MS);
      }),
    );
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  #callLater(delayMs = ROLL_CALL_MS): void {
    if (this.#isStopped) return;
    this.#cancelTimer ??= this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = undefined;
      this.now();
    });
  }

  /** Answers whether the store did. */
  async #call(sessions: readonly Session[]): Promise<boolean> {
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
      log.write({ level: "warn", event: "roll_call_failed", error: toAgentError(thrown) });
      return false;
    }
  }
}

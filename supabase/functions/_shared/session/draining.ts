/** The sessions of a worker that ends: first their clients are sent on, then the database is written to. */

import { AgentError } from "../errors.ts";
import type { Clock } from "../ports/runtime.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import { stamp } from "../protocol/stamp.ts";
import { settledWithin } from "../settled_within.ts";
import type { Reader } from "./reader.ts";
import type { Session } from "./session.ts";
import type { DrainOptions } from "./session_options.ts";

/** How much longer than its time a running answer keeps its connections, for its last write to be answered. */
const HAND_OVER_MS = 1000;
/** How long a worker waits for its last writes, when nobody is connected any more. */
const LAST_WRITES_MS = 3000;

export interface DrainingOptions extends Pick<DrainOptions, "timeoutMs"> {
  clock: Clock;
  /** Whether another worker can go on with a session: else its turns end `interrupted`. */
  isDurable(sessionId: string): boolean;
  /** Has another worker go on with a session that nobody is connected to. Never rejects. */
  wakeElsewhere?: ((sessionId: string) => Promise<void>) | undefined;
}

/**
 * Sends the connections of idle sessions away at once, those of a running turn when it has ended or been handed over, but not
 * later than {@linkcode HAND_OVER_MS} after its time: a database that does not answer keeps nobody. Resolves when all were
 * sent away; `written` then settles when the last write is done and turns without a client have been woken elsewhere, or that had
 * {@linkcode LAST_WRITES_MS} to.
 */
export async function drainSessions(
  sessions: readonly Session[],
  { clock, timeoutMs, isDurable, wakeElsewhere }: DrainingOptions,
): Promise<{ written: Promise<unknown> }> {
  const refusal = new AgentError("shutting_down", "Cannot take query: this worker is being replaced", {
    retryable: true,
    retryAfterMs: 0,
  });
  const ends = sessions.map((session) => {
    let isOpenedElsewhere = false;
    const release = (): void => {
      for (const connection of session.connections) {
        sendAway(connection, clock);
        isOpenedElsewhere = true;
      }
    };
    const leave = isDurable(session.record.sessionId) ? "hand_over" : "interrupt";
    const latestMs = leave === "hand_over" && timeoutMs > 0 ? timeoutMs + HAND_OVER_MS : undefined;
    const { isRunning } = session;
    if (!isRunning) release();
    const drained = session.drain(refusal, { timeoutMs, leave }).then(release);
    return {
      released: !isRunning
        ? Promise.resolve()
        : latestMs === undefined
        ? drained
        : settledWithin(clock, latestMs, drained).then(release),
      written: drained.then(async () => {
        // Asked now, not when the drain began: a client may have left since.
        const isWanted = isRunning && leave === "hand_over" && session.openTurns.length > 0;
        if (isWanted && !isOpenedElsewhere) await wakeElsewhere?.(session.record.sessionId);
      }),
    };
  });
  await Promise.all(ends.map(({ released }) => released));
  const written = Promise.all(ends.map(({ written }) => written));
  return { written: settledWithin(clock, LAST_WRITES_MS, written) };
}

/** Tells a client to connect elsewhere, and closes. */
export function sendAway(connection: Reader, clock: Clock): void {
  connection.send({
    type: "notification",
    code: "reconnecting",
    content: "This worker is being replaced: connect again",
    timestamp: stamp(clock.now()),
    data: { after_ms: 0 },
  });
  connection.close(CLOSE.workerReplaced);
}

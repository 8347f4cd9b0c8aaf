/** A {@linkcode LogWrite} as the database's function takes it. */

import type { LogWrite } from "../ports/event_log.ts";
import { charsOf } from "../protocol/event_chars.ts";

/** What is left out is not in its JSON either. */
export function toWriteJson(sessionId: string, write: LogWrite): Record<string, unknown> {
  const { events, lease, epoch, startedTurnId, checkpoint, stop, onlyIfIdle } = write;
  return {
    session: sessionId,
    events,
    lease,
    epoch,
    started: startedTurnId,
    checkpoint: checkpoint && { turn: checkpoint.turnId, number: checkpoint.number, text: checkpoint.text },
    stop: stop &&
      (typeof stop.which === "object"
        ? { query: stop.which.queryId, reason: stop.reason }
        : { which: stop.which, reason: stop.reason }),
    only_if_idle: onlyIfIdle,
  };
}

/** About the length of its JSON: near enough to bound a batch by, and far cheaper. */
export function writeChars({ events = [], checkpoint }: LogWrite): number {
  const ofEvents = events.reduce((sum, event) => sum + 300 + charsOf(event), 0);
  return 200 + ofEvents + (checkpoint?.text.length ?? 0);
}

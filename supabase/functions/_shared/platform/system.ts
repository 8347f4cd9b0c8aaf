/** The clock, the randomness and the log of a real process, behind the ports. */

import type { CancelTimer, Clock, Ids, Log, LogEntry, LogLevel } from "../ports/runtime.ts";
import { logLine } from "./log_line.ts";

/** The longest delay that `setTimeout` can hold: past it, it fires at once. */
const MAX_TIMER_MS = 2_147_483_647;

/** The system's time, and its timers: a delay of any length, one below 0 counting as 0. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    after(delayMs, task): CancelTimer {
      let remainingMs = Math.max(0, delayMs);
      let timer = setTimeout(wait, nextDelayMs());

      function nextDelayMs(): number {
        const delay = Math.min(remainingMs, MAX_TIMER_MS);
        remainingMs -= delay;
        return delay;
      }
      function wait(): void {
        if (remainingMs > 0) timer = setTimeout(wait, nextDelayMs());
        else task();
      }
      return () => clearTimeout(timer);
    },
  };
}

/** Random ids of the system's own generator. */
export function systemIds(): Ids {
  return {
    uuid: () => crypto.randomUUID(),
    secret(): string {
      const bytes = crypto.getRandomValues(new Uint8Array(32));
      return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace("=", "");
    },
  };
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export interface JsonLogOptions {
  /** Entries below it are dropped. Default `info`. */
  minLevel?: LogLevel;
  /** Takes one line without its line break. Default: the console, by the method that is named like the level. */
  write?(line: string, level: LogLevel): void;
  /** What `time` is read from. Default: the system's. */
  clock?: Pick<Clock, "now">;
}

/**
 * A log of one JSON object a line: `{time, level, event, …}`, with `time` in ISO 8601.
 * Errors become their name, message, stack and cause; whatever looks like a token or a key is masked. Writing never throws.
 */
export function jsonLog(options: JsonLogOptions = {}): Log {
  const { minLevel = "info", write = writeToConsole, clock = { now: () => Date.now() } } = options;
  const lowest = LEVELS.indexOf(minLevel);
  return {
    write(entry: LogEntry): void {
      if (LEVELS.indexOf(entry.level) < lowest) return;
      try {
        write(logLine(entry, clock.now()), entry.level);
      } catch {
        // A log that cannot be written must not fail the work that it reports.
      }
    },
  };
}

/** Supabase grades a line by the console method that printed it. */
function writeToConsole(line: string, level: LogLevel): void {
  // deno-lint-ignore no-console -- the one place where the log meets the console
  console[level](line);
}

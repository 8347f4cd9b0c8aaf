/**
 * What the stack and a worker process say to each other.
 *
 * The stack writes JSON lines to the worker's stdin, which also tells the worker that its stack has gone: end of file.
 * The worker answers on stdout, which belongs to the function's own output too, so each of its messages starts with
 * {@linkcode RECORD_SEPARATOR} and ends with a line feed.
 */

/** U+001E, as in RFC 7464: no function prints it by accident. */
export const RECORD_SEPARATOR = "\x1e";

/** Why a worker is told that it will end, in the platform's own words. */
export const UNLOAD_REASONS = ["cpu", "memory", "wall_clock", "early_drop", "termination"] as const;
export type UnloadReason = typeof UNLOAD_REASONS[number];

export type ToWorker =
  /** No more requests will come: say so whenever nothing holds the worker any longer. */
  | { type: "retire" }
  /** Dispatch `beforeunload`, and go on. */
  | { type: "beforeunload"; reason: UnloadReason }
  /** Dispatch `beforeunload`, wait for requests and `waitUntil` promises up to `graceMs` milliseconds, and exit. */
  | { type: "end"; reason: UnloadReason; graceMs: number };

export type FromWorker =
  /** The function serves on this loopback port. */
  | { type: "listening"; port: number }
  /** Whether no request is open and every `waitUntil` promise is settled. Sent once retired, on each change. */
  | { type: "quiet"; quiet: boolean };

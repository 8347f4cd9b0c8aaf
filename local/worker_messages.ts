/**
 * What the stack and a worker process say to each other.
 *
 * The stack writes JSON lines to the worker's stdin, which also tells the worker that its stack has gone: end of file.
 * The worker answers on stdout, which belongs to the function's own output too, so each of its messages starts with
 * {@linkcode RECORD_SEPARATOR} and ends with a line feed.
 */

/** U+001E, as in RFC 7464: no function prints it by accident. */
export const RECORD_SEPARATOR = "\x1e";

/** Argument of a worker that answers the test hooks. */
export const TEST_HOOKS = "--test-hooks";

/** The reasons for a worker's end, in the platform's own words. */
export const UNLOAD_REASONS = ["cpu", "memory", "wall_clock", "early_drop", "termination"] as const;
export type UnloadReason = typeof UNLOAD_REASONS[number];

/** What the test hooks want of a worker's live-activity hub. */
export type ActivityAsk =
  /** Broadcast these, in order. Without an owner unless one is given. */
  | { action: "emit"; events: readonly Readonly<Record<string, unknown>>[]; userId?: string }
  | { action: "clients" }
  /** Close every watcher, as when the worker ends. */
  | { action: "close" };

/** One of the hub's `getClientInfo()`, its date as JSON has it. */
export interface WatcherInfo {
  clientId: string;
  connectedAt: string;
  subscribedTypes: string[];
}

export type ToWorker =
  /** No more requests will come: say so whenever nothing holds the worker any longer. */
  | { type: "retire" }
  /** Dispatch `beforeunload`, and go on. */
  | { type: "beforeunload"; reason: UnloadReason }
  /** Dispatch `beforeunload`, wait for requests and `waitUntil` promises up to `graceMs` milliseconds, and exit. */
  | { type: "end"; reason: UnloadReason; graceMs: number }
  /** Answered by the message with the same `id`. */
  | { type: "activity"; id: number; ask: ActivityAsk };

export type FromWorker =
  /** The function serves on this loopback port. */
  | { type: "listening"; port: number }
  /** Whether no request is open and every `waitUntil` promise is settled. Sent once retired, on each change. */
  | { type: "quiet"; quiet: boolean }
  /** The watchers; without `watchers` there is no hub, or asking for it is not allowed. */
  | { type: "activity"; id: number; watchers?: WatcherInfo[] };

/**
 * The messages between the stack and a worker process.
 *
 * The stack writes JSON lines to the worker's stdin. End of file on stdin means that the stack has gone. The worker
 * answers on stdout, which also carries the function's own output. For this reason, each of its messages starts with
 * {@linkcode RECORD_SEPARATOR} and ends with a line feed.
 */

/** U+001E, as in RFC 7464: no function prints it by accident. */
export const RECORD_SEPARATOR = "\x1e";

/** The argument that makes a worker answer the test hooks. */
export const TEST_HOOKS = "--test-hooks";

/** The reasons for the end of a worker, in the platform's words. */
export const UNLOAD_REASONS = ["cpu", "memory", "wall_clock", "early_drop", "termination"] as const;
export type UnloadReason = typeof UNLOAD_REASONS[number];

/** A command of the test hooks for a worker's live-activity hub. */
export type ActivityAsk =
  /** Broadcast these, in order. They have no owner unless `userId` is given. */
  | { action: "emit"; events: readonly Readonly<Record<string, unknown>>[]; userId?: string }
  | { action: "clients" }
  /** Close every watcher, as when the worker ends. */
  | { action: "close" };

/** One entry of the hub's `getClientInfo()`, with its date as in JSON. */
export interface WatcherInfo {
  clientId: string;
  connectedAt: string;
  subscribedTypes: string[];
}

export type ToWorker =
  /** No more requests will come: report when nothing keeps the worker alive any longer. */
  | { type: "retire" }
  /** Dispatch `beforeunload`, and continue. */
  | { type: "beforeunload"; reason: UnloadReason }
  /** Dispatch `beforeunload`, wait for requests and `waitUntil` promises up to `graceMs` milliseconds, and exit. */
  | { type: "end"; reason: UnloadReason; graceMs: number }
  /** The answer is the message with the same `id`. */
  | { type: "activity"; id: number; ask: ActivityAsk };

export type FromWorker =
  /** The function serves on this loopback port. */
  | { type: "listening"; port: number }
  /** Whether no request is open and every `waitUntil` promise is settled. Sent after `retire`, on each change. */
  | { type: "quiet"; quiet: boolean }
  /** The watchers. Without `watchers` there is no hub, or test hooks are not enabled. */
  | { type: "activity"; id: number; watchers?: WatcherInfo[] };

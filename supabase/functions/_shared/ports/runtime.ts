/** The runtime: time, randomness, sockets, the log and the life of the worker. */

/** Ends a timer; calling it again, or after it fired, does nothing. */
export type CancelTimer = () => void;

/** The time, and timers. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `task` once, `delayMs` milliseconds from now: any number of them, also more than `setTimeout` can hold. */
  after(delayMs: number, task: () => void): CancelTimer;
}

/** Random values. */
export interface Ids {
  /** A random UUID (version 4). */
  uuid(): string;
  /** 256 random bits in base64url: 43 characters. */
  secret(): string;
}

/** The sending half of one WebSocket that is open. Neither method throws. */
export interface Socket {
  /** Bytes accepted by `send` that have not left this process yet. */
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code: number, reason: string): void;
}

/** How much a line of the log matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line of the log. Never user text, tokens or keys. */
export interface LogEntry {
  level: LogLevel;
  /** A fixed name such as `turn_ended`; everything that varies is in the other fields. */
  event: string;
  [field: string]: unknown;
}

/** Where lines of the log go. */
export interface Log {
  write(entry: LogEntry): void;
}

/** Keeps the worker alive for as long as a promise is pending (Supabase: `EdgeRuntime.waitUntil`). */
export interface WorkerLifetime {
  hold(work: Promise<unknown>): void;
}

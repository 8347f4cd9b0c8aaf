/** Why a connection is closed, and with which words. docs/PROTOCOL.md says what a client should do on each. */

/** The code and the words of a close frame. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** Every way in which we close. */
export const CLOSE = {
  sessionTimeout: { code: 1000, reason: "Session timeout" },
  rateLimitAbused: { code: 1008, reason: "Rate limit abused" },
  frameTooLarge: { code: 1009, reason: "Frame too large" },
  workerReplaced: { code: 1012, reason: "Worker is being replaced" },
  tooManyConnections: { code: 1013, reason: "Too many connections" },
  tryAgainLater: { code: 1013, reason: "Try again later" },
  slowConsumer: { code: 3008, reason: "Slow consumer" },
  unauthorized: { code: 4001, reason: "Unauthorized" },
  tokenExpired: { code: 4001, reason: "Token expired" },
  forbidden: { code: 4003, reason: "Forbidden" },
  sessionDeleted: { code: 4009, reason: "Session deleted" },
} as const satisfies Record<string, Closing>;

/** Every further way in which a watcher of the live activity is closed. */
export const ACTIVITY_CLOSE = {
  /** The original's words for whatever it drops: here a watcher that was silent for too long. */
  stale: { code: 1000, reason: "Connection closed" },
  shuttingDown: { code: 1001, reason: "Server shutting down" },
  full: { code: 1013, reason: "Maximum clients reached" },
} as const satisfies Record<string, Closing>;

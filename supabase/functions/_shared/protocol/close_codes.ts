/** Close codes and reasons. docs/PROTOCOL.md says what a client should do for each. */

/** The code and the reason of a close frame. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** Every close that the server sends to a client. */
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

/** Further closes, for watchers of the live activity. */
export const ACTIVITY_CLOSE = {
  /** A watcher was silent for too long. The reason is the original handler's text. */
  stale: { code: 1000, reason: "Connection closed" },
  shuttingDown: { code: 1001, reason: "Server shutting down" },
  full: { code: 1013, reason: "Maximum clients reached" },
} as const satisfies Record<string, Closing>;

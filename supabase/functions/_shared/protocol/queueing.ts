/** How a query waits for its turn. */

/** Lanes of the turn queue, the first served first. */
export const PRIORITIES = ["high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** What becomes of a query that comes while a turn runs. docs/PROTOCOL.md says what each does. */
export const QUEUE_POLICIES = ["queue", "reject", "interrupt", "latest"] as const;
export type QueuePolicy = (typeof QUEUE_POLICIES)[number];

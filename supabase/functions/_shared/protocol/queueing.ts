/** Priorities and policies of waiting queries. */

/** Lanes of the turn queue, in the order in which they are served. */
export const PRIORITIES = ["high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** What a query does while another one runs. docs/PROTOCOL.md, rule QU6, describes each policy. */
export const QUEUE_POLICIES = ["queue", "reject", "interrupt", "latest"] as const;
export type QueuePolicy = (typeof QUEUE_POLICIES)[number];

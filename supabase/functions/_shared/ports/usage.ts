/** The accounts of requests to model providers, over all workers. */

import type { Usage } from "../protocol/log_event.ts";

/**
 * How a request ended. `in_vain`: its question was not accepted, or another worker answers it. `lost`: another worker has taken
 * the turn over. `open`: it runs, or its worker was killed.
 */
export type AttemptOutcome =
  | "open"
  | "completed"
  | "cancelled"
  | "failed"
  | "interrupted"
  | "in_vain"
  | "lost";

/** What is known of one request that reached a provider. */
export interface AttemptRow {
  /** A UUID. */
  id: string;
  sessionId: string;
  turnId: string;
  /** Undefined for an anonymous session. */
  userId: string | undefined;
  /** The quotas that it counts against: `user:<id>`, or `session:<id>` and, where it is known, `address:<address>`. */
  quotaKeys: readonly string[];
  model: string;
  generationId: string | undefined;
  promptTokens: number;
  /** With the reasoning. */
  completionTokens: number;
  reasoningTokens: number;
  /** In US dollars. */
  cost: number | undefined;
  /** Whether the tokens are our estimate. */
  estimated: boolean;
  outcome: AttemptOutcome;
  /** Milliseconds since the epoch. */
  begunAt: number;
  endedAt: number | undefined;
  /** Told by the worker that took the turn over. Kept only as long as no earlier request of the turn is known. */
  inferred?: true;
}

/** What the provider told of a request after its end. */
export interface Correction {
  id: string;
  usage: Usage;
}

/** A request that wants to be sent. */
export interface Reservation {
  row: AttemptRow;
  /** The most tokens that its answer shall have. */
  maxTokens: number;
}

/** What a worker's requests did since its last call. */
export interface UsageChange {
  /** The newest state of each. */
  rows: readonly AttemptRow[];
  /** Ids of requests that were reserved and never sent. */
  unsent: readonly string[];
  corrections: readonly Correction[];
  reservations: readonly Reservation[];
}

/** The answer to a change. */
export interface UsageAnswer {
  /** How many tokens the answer of each reserved request may have. Missing: the budget is used up. */
  granted: ReadonlyMap<string, number>;
  /** Which quotas of the change are used up by what was spent, without what is reserved. */
  usedUp: ReadonlySet<string>;
  /** Milliseconds until the next day (UTC). */
  dayLeftMs: number;
  /** Requests of other workers that ended with this change, and of which the provider can tell the usage. */
  lost: readonly { id: string; generationId: string }[];
}

/** What a user, an anonymous session or an address may use in a day (UTC). 0: no limit. */
export interface DailyBudget {
  tokens: number;
  /** US dollars. */
  cost: number;
}

/** Keeps the rows, and knows the budget. */
export interface AttemptLedger {
  /**
   * Books the change as a whole. Rows that were booked before are brought up to date, and reservations are decided one at a time for each
   * quota. Rejects with `store_unavailable` if it may not have been booked; the next change must have the same rows then. Rejects with
   * any other error if it never will be.
   */
  account(change: UsageChange): Promise<UsageAnswer>;
}

/** Asks the provider what a request has used, after its end. */
export interface GenerationReader {
  /** Undefined if the provider does not know yet, or does not answer. Never rejects. */
  usageOf(generationId: string): Promise<Usage | undefined>;
}

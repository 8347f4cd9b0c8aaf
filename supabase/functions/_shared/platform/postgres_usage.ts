/** The accounts of requests to the provider in the project's database: the table `agent_usage`. */

import type { Clock } from "../ports/runtime.ts";
import type {
  AttemptLedger,
  AttemptRow,
  Correction,
  DailyBudget,
  Reservation,
  UsageAnswer,
  UsageChange,
} from "../ports/usage.ts";
import { noError, toUsageAnswer } from "./store_answers.ts";
import { callStore } from "./store_call.ts";
import type { StoreRpc } from "./store_rpc.ts";

export interface PostgresUsageOptions {
  rpc: StoreRpc;
  clock: Clock;
  workerId: string;
  budget: DailyBudget;
  /** How long a call may take with all attempts. */
  withinMs: number;
}

export class PostgresUsage implements AttemptLedger {
  readonly #options: PostgresUsageOptions;
  /** The last call number: the database does each number once, and none after a later one. */
  #number: number;

  constructor(options: PostgresUsageOptions) {
    this.#options = options;
    this.#number = options.clock.now();
  }

  /** To be called one at a time. */
  async account({ rows, unsent, corrections, reservations }: UsageChange): Promise<UsageAnswer> {
    const { rpc, clock, workerId, budget, withinMs } = this.#options;
    // One moment for all rows: the database tells older rows of a turn from newer ones by their ages.
    const now = clock.now();
    return await callStore(rpc, {
      name: "agent_account_usage",
      args: {
        p_worker: workerId,
        p_number: ++this.#number,
        p_rows: rows.map((row) => this.#toRow(row, now)),
        p_unsent: unsent,
        p_corrections: corrections.map(toCorrection),
        p_asked: reservations.map((reservation) => this.#toAsked(reservation)),
        p_token_budget: budget.tokens,
        p_cost_budget: budget.cost,
      },
      withinMs,
      use: (answer) => toUsageAnswer(noError(answer), reservations),
    });
  }

  #toRow(row: AttemptRow, now: number): Record<string, unknown> {
    return {
      ...this.#identity(row),
      generation_id: row.generationId ?? null,
      completion_tokens: row.completionTokens,
      reasoning_tokens: row.reasoningTokens,
      cost: row.cost ?? null,
      estimated: row.estimated,
      outcome: row.outcome,
      inferred: row.inferred === true,
      age_ms: Math.max(0, now - row.begunAt),
      ended_ms: row.endedAt === undefined ? null : Math.max(0, now - row.endedAt),
    };
  }

  #toAsked({ row, maxTokens }: Reservation): Record<string, unknown> {
    return { ...this.#identity(row), max_tokens: maxTokens };
  }

  #identity(
    { id, sessionId, turnId, userId, quotaKeys, model, promptTokens }: AttemptRow,
  ): Record<string, unknown> {
    const { budget: { tokens, cost } } = this.#options;
    // An address is kept only where a budget needs it.
    const needsKey = userId === undefined && (tokens > 0 || cost > 0);
    const quotaKey = needsKey ? quotaKeys.find((key) => key !== `session:${sessionId}`) : undefined;
    return {
      id,
      session_id: sessionId,
      turn_id: turnId,
      user_id: userId ?? null,
      quota_key: quotaKey ?? null,
      model,
      prompt_tokens: promptTokens,
    };
  }
}

function toCorrection({ id, usage }: Correction): Record<string, unknown> {
  return {
    id,
    prompt_tokens: usage.prompt_tokens,
    completion_tokens: usage.completion_tokens,
    reasoning_tokens: usage.reasoning_tokens ?? 0,
    cost: usage.cost ?? null,
  };
}

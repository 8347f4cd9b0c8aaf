/** Whether a new query may be accepted: the model options that clients may choose, and the limits of the worker and the user. */

import { AgentError } from "../errors.ts";
import { bytesOfQuery, type MemoryBudget } from "../guard/memory_budget.ts";
import type { QueryFrame, QueryOptions } from "../protocol/client_frames.ts";
import type { AttemptAccounts } from "../usage/attempt_accounts.ts";
import type { Question } from "./core/turn.ts";
import { expectedTokens } from "./model_request.ts";
import type { Reader } from "./reader.ts";

export interface OptionLimits {
  allowedModels: readonly string[];
  /** `MAX_TOKENS`: the default and the maximum of `max_tokens`; undefined if there is neither. */
  maxTokens?: number | undefined;
}

export interface QueryLimits {
  settings: OptionLimits;
  memory: MemoryBudget;
  accounts: Pick<AttemptAccounts, "exhausted">;
}

/** Throws `queue_full` (no memory), `option_not_allowed` or `budget_exceeded`. */
export function checkQuery(
  { content, options = {} }: QueryFrame,
  quotaKeys: readonly string[],
  { settings, memory, accounts }: QueryLimits,
): void {
  if (!memory.admit(bytesOfQuery(content, expectedTokens(settings)))) {
    const words = "Cannot take query: this worker's memory is used up";
    throw new AgentError("queue_full", words, { retryable: true });
  }
  checkOptions(options, settings);
  const retryAfterMs = accounts.exhausted(quotaKeys);
  if (retryAfterMs === undefined) return;
  const words = "Cannot take query: the day's budget is used up";
  throw new AgentError("budget_exceeded", words, { retryable: true, retryAfterMs });
}

/** The question that a reader asks with a query. */
export function askedQuestion(
  { content, options = {}, priority = "normal", stream, replaces }: QueryFrame,
  { id: connectionId, quotaKeys }: Reader,
  { queryId, turnId, first }: Pick<Question, "queryId" | "turnId" | "first">,
): Question {
  return {
    kind: "query",
    queryId,
    turnId,
    content,
    options,
    priority,
    first,
    connectionId,
    feedback: [],
    stream,
    quotaKeys,
    ...(replaces !== undefined && { replaces }),
  };
}

/** Throws `option_not_allowed`, naming what is allowed. */
export function checkOptions(options: QueryOptions, { allowedModels, maxTokens }: OptionLimits): void {
  if (options.model !== undefined && !allowedModels.includes(options.model)) {
    throw notAllowed(`"model" must be one of ${allowedModels.join(", ")}`);
  }
  if (maxTokens !== undefined && options.max_tokens !== undefined && options.max_tokens > maxTokens) {
    throw notAllowed(`"max_tokens" must be at most ${maxTokens}`);
  }
}

function notAllowed(what: string): AgentError {
  return new AgentError("option_not_allowed", `Cannot use options: ${what}`);
}

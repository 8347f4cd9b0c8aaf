/** Accounts for turns that have ended: token budget, metrics, log, live activity. */

import type { ActivityReporter, TurnStage } from "../activity/reporter.ts";
import type { TokenBudget } from "../guard/token_budget.ts";
import type { Metrics } from "../metrics.ts";
import type { Log } from "../ports/runtime.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import { type Question, textOf } from "./core/turn.ts";
import { quotaKeysOf } from "./quota_keys.ts";

export interface AccountDeps {
  log: Log;
  metrics: Metrics;
  budget: TokenBudget;
  activity: ActivityReporter;
}

export function accountFor(
  query: Question,
  end: TerminalEvent,
  record: SessionRecord,
  deps: AccountDeps,
): void {
  const { metrics, budget, activity, log } = deps;
  const outcome = outcomeOf(end);
  const text = textOf(end);
  const quotaKeys = keysOf(query, record);
  const write = (fields: Record<string, unknown>): void =>
    log.write({
      level: "info",
      event: "turn_ended",
      session_id: record.sessionId,
      turn_id: end.turnId,
      outcome,
      ...fields,
    });
  activity.reasoning(record, { query, text }, outcome);
  metrics.count("turns_total", outcome);
  if (end.kind !== "response") {
    if (text !== "") budget.spend(quotaKeys, estimateTokens(query, text));
    return write(end.kind === "error" ? { code: end.code } : { reason: end.reason });
  }
  const { model, finishReason, usage, trimmed } = end;
  budget.spend(quotaKeys, usage?.total_tokens ?? estimateTokens(query, text));
  if (usage !== undefined) {
    metrics.count("tokens_total", "prompt", usage.prompt_tokens);
    metrics.count("tokens_total", "completion", usage.completion_tokens);
    metrics.count("cost_usd_total", "", usage.cost ?? 0);
  }
  write({ model, finish_reason: finishReason, ...usage, ...(trimmed !== undefined && { trimmed }) });
}

/** Accounts for a model call that was aborted because its query is answered elsewhere or was refused: its tokens are paid for. */
export function accountForCall(
  query: Question,
  text: string,
  record: SessionRecord,
  { metrics, budget, log }: AccountDeps,
): void {
  metrics.count("model_calls_in_vain_total");
  if (text !== "") budget.spend(keysOf(query, record), estimateTokens(query, text));
  log.write({
    level: "info",
    event: "model_call_in_vain",
    session_id: record.sessionId,
    turn_id: query.turnId,
  });
}

function outcomeOf(end: TerminalEvent): Exclude<TurnStage, "queued" | "thinking"> {
  if (end.kind === "response") return "completed";
  if (end.kind === "cancelled") return "cancelled";
  return end.code === "interrupted" ? "interrupted" : "failed";
}

function keysOf({ quotaKeys }: Question, record: SessionRecord): readonly string[] {
  return quotaKeys.length > 0 ? quotaKeys : quotaKeysOf(record);
}

/** About four UTF-16 units per token; for the budget, if the provider reports no usage. */
function estimateTokens({ content }: Question, text: string): number {
  return Math.ceil((text.length + content.length) / 4);
}

/** What a turn that has ended is counted as: budget, metrics, log, live activity. */

import type { ActivityReporter } from "../activity/reporter.ts";
import type { Turn } from "../agent/turn.ts";
import { hasEnded } from "../agent/turn_machine.ts";
import type { TokenBudget } from "../guard/token_budget.ts";
import type { Metrics } from "../metrics.ts";
import type { Log, SessionRecord } from "../ports.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";

export interface AccountDeps {
  log: Log;
  metrics: Metrics;
  budget: TokenBudget;
  activity: ActivityReporter;
}

export function accountFor(turn: Turn, ended: TerminalEvent, record: SessionRecord, deps: AccountDeps): void {
  const { metrics, budget, activity, log } = deps;
  const write = (fields: Record<string, unknown>): void =>
    log.write({
      level: "info",
      event: "turn_ended",
      session_id: record.sessionId,
      turn_id: ended.turnId,
      outcome: turn.state,
      ...fields,
    });
  if (hasEnded(turn.state)) activity.reasoning(record, turn, turn.state);
  const { payers } = turn.query;
  metrics.count("turns_total", turn.state);
  if (ended.kind !== "response") {
    if (ended.partial !== "") budget.spend(payers, estimateTokens(turn));
    return write(ended.kind === "error" ? { code: ended.code } : { reason: ended.reason });
  }
  const { model, finishReason, usage } = ended;
  budget.spend(payers, usage?.total_tokens ?? estimateTokens(turn));
  if (usage !== undefined) {
    metrics.count("tokens_total", "prompt", usage.prompt_tokens);
    metrics.count("tokens_total", "completion", usage.completion_tokens);
    metrics.count("cost_usd_total", "", usage.cost ?? 0);
  }
  write({ model, finish_reason: finishReason, ...usage });
}

/** Accounts for a call of the model that was given up because another worker answers the query: its tokens were paid for. */
export function accountForVain(
  turn: Turn,
  { sessionId }: SessionRecord,
  { metrics, budget, log }: AccountDeps,
): void {
  const { payers, turnId } = turn.query;
  metrics.count("model_calls_in_vain_total");
  if (turn.text !== "") budget.spend(payers, estimateTokens(turn));
  log.write({ level: "info", event: "model_call_in_vain", session_id: sessionId, turn_id: turnId });
}

/** About four UTF-16 units a token: for a budget, where the provider reports no usage. */
function estimateTokens({ text, query }: Turn): number {
  return Math.ceil((text.length + query.content.length) / 4);
}

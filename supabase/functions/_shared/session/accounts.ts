/** Accounts for turns that have ended: metrics, log, live activity. Their tokens are accounted for request by request, in `usage/`. */

import type { ActivityReporter, EndStage } from "../activity/reporter.ts";
import type { Metrics } from "../metrics.ts";
import type { Log } from "../ports/runtime.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import { type Question, textOf } from "./core/turn.ts";

export interface AccountDeps {
  log: Log;
  metrics: Metrics;
  activity: ActivityReporter;
}

export function accountFor(
  query: Question,
  end: TerminalEvent,
  record: SessionRecord,
  deps: AccountDeps,
): void {
  const { metrics, activity, log } = deps;
  const outcome = outcomeOf(end);
  const write = (fields: Record<string, unknown>): void =>
    log.write({
      level: "info",
      event: "turn_ended",
      session_id: record.sessionId,
      turn_id: end.turnId,
      outcome,
      ...fields,
    });
  activity.reasoning(record, { query, text: textOf(end) }, outcome);
  metrics.count("turns_total", outcome);
  if (end.kind !== "response") {
    return write(end.kind === "error" ? { code: end.code } : { reason: end.reason });
  }
  const { model, finishReason, usage, trimmed } = end;
  write({ model, finish_reason: finishReason, ...usage, ...(trimmed !== undefined && { trimmed }) });
}

/** Accounts for a model call that was aborted because its query is answered elsewhere or was refused. */
export function accountForCall(
  query: Question,
  record: SessionRecord,
  { metrics, log }: Pick<AccountDeps, "metrics" | "log">,
): void {
  metrics.count("model_calls_in_vain_total");
  log.write({
    level: "info",
    event: "model_call_in_vain",
    session_id: record.sessionId,
    turn_id: query.turnId,
  });
}

/** How a turn ended, in one word. */
export function outcomeOf(end: TerminalEvent): EndStage {
  if (end.kind === "response") return "completed";
  if (end.kind === "cancelled") return "cancelled";
  return end.code === "interrupted" ? "interrupted" : "failed";
}

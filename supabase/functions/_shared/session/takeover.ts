/** What is told of a turn that this worker continues: to its accounts, the metrics and the log. */

import type { SessionRecord } from "../ports/session_store.ts";
import type { Effect } from "./core/effect.ts";
import { promptFor } from "./core/history.ts";
import type { SessionState } from "./core/state.ts";
import type { DriverDeps } from "./driver_deps.ts";
import { requestFor } from "./model_request.ts";
import { meteredCallOf } from "./quota_keys.ts";

export function tellTakeover(
  { query, how, chars }: Extract<Effect, { kind: "taken_over" }>,
  { history, defaults }: SessionState,
  record: SessionRecord,
  { log, metrics, accounts, settings }: DriverDeps,
): void {
  const asked = {
    messages: promptFor(history, query),
    partial: "",
    options: { ...defaults, ...query.options },
  };
  accounts.tookOver(meteredCallOf(query, record), { request: requestFor(asked, settings), chars });
  metrics.count("turns_taken_over_total", how);
  log.write({
    level: "info",
    event: "turn_taken_over",
    session_id: record.sessionId,
    turn_id: query.turnId,
    how,
    chars,
  });
}

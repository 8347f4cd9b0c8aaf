/** States of one session, for tests of the core. */

import {
  type CoreSettings,
  newSession,
  type SessionState,
} from "../../supabase/functions/_shared/session/core/state.ts";
import type { Question } from "../../supabase/functions/_shared/session/core/turn.ts";
import { query } from "./log_events.ts";

export const CORE_SETTINGS: CoreSettings = {
  maxHistory: 10,
  maxEvents: 100,
  maxQueue: 4,
  continuePolicy: "auto",
  checkpointMs: 500,
  leaseMs: 5000,
  renewLeaseMs: 1500,
  approvalMs: 60_000,
};

/** A question whose turn is named after its id. */
export function question(id: string, content = "?"): Question {
  return { ...query(id, content), stream: undefined, quotaKeys: [] };
}

/** A session with an empty log. This worker holds the lease. */
export function heldSession(settings: CoreSettings = CORE_SETTINGS): SessionState {
  const state = newSession(settings);
  state.lease = { name: "held", epoch: 1, renewedAt: 0 };
  return state;
}

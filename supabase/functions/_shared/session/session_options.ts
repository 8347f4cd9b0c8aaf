/** The options of a session. */

import type { MemoryBudget } from "../guard/memory_budget.ts";
import type { Ids } from "../ports/runtime.ts";
import type { QueuePolicy } from "../protocol/queueing.ts";
import type { CoreSettings } from "./core/state.ts";
import type { AttemptAccounts } from "../usage/attempt_accounts.ts";
import type { DriverDeps } from "./driver_deps.ts";
import type { ModelSettings } from "./model_request.ts";
import type { OptionLimits } from "./query_admission.ts";

export interface SessionSettings
  extends
    ModelSettings,
    OptionLimits,
    Pick<CoreSettings, "maxHistory" | "maxEvents" | "maxQueue" | "continuePolicy" | "approvalMs"> {
  queuePolicy: QueuePolicy;
  /** Who may decide about calls over the socket: `user`, and roles of `app_metadata.role`. */
  approvers: readonly string[];
}

export interface SessionDeps extends DriverDeps {
  ids: Ids;
  accounts: AttemptAccounts;
  memory: MemoryBudget;
  settings: SessionSettings;
  /** Time between checkpoints of a running answer that another worker could continue, in milliseconds. */
  checkpointMs: number;
  /** How long a lease lasts without renewal, and after how long without a write it is renewed, in milliseconds. */
  leaseMs: number;
  renewLeaseMs: number;
}

export interface SessionOptions {
  /** Shared by all sessions. */
  deps: SessionDeps;
  core: CoreSettings;
  /** Whether the log is in this worker's memory. */
  isLogHere: boolean;
  /** Called when the store has no such session any more. */
  onGone(): void;
}

/** How long a running turn may take when the worker shuts down, and what happens to a turn that takes longer. */
export interface DrainOptions {
  /** In milliseconds; 0 for no limit. */
  timeoutMs: number;
  leave: "interrupt" | "hand_over";
}

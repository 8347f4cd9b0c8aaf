/** What a session is made with. */

import type { MemoryBudget } from "../guard/memory_budget.ts";
import type { Ids } from "../ports/runtime.ts";
import type { QueuePolicy } from "../protocol/queueing.ts";
import type { CoreSettings } from "./core/state.ts";
import type { DriverDeps } from "./driver.ts";
import type { ModelSettings } from "./model_request.ts";
import type { OptionLimits } from "./query_admission.ts";

export interface SessionSettings
  extends
    ModelSettings,
    OptionLimits,
    Pick<CoreSettings, "maxHistory" | "maxEvents" | "maxQueue" | "continuePolicy"> {
  queuePolicy: QueuePolicy;
}

export interface SessionDeps extends DriverDeps {
  ids: Ids;
  memory: MemoryBudget;
  settings: SessionSettings;
  /** How often a running answer is put down where another worker could go on with it, in milliseconds. */
  checkpointMs: number;
  /** How long a lease lasts that is not renewed, and how long without a write until it is renewed, in milliseconds. */
  leaseMs: number;
  renewLeaseMs: number;
}

export interface SessionOptions {
  /** Shared by all sessions. */
  deps: SessionDeps;
  core: CoreSettings;
  /** Whether its log is in this worker's memory. */
  isLogHere: boolean;
  /** Called when the store says that the session is no more. */
  onGone(): void;
}

/** How long a running turn may take when the worker ends, and what becomes of what is not done. */
export interface DrainOptions {
  /** 0: for as long as it takes. */
  timeoutMs: number;
  leave: "interrupt" | "hand_over";
}

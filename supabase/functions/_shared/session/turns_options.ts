/** What the turns of a session need, and whom they tell. */

import type { ContinuePolicy } from "../config.ts";
import type { SessionMemory } from "../guard/memory_budget.ts";
import type { EventLog, Log } from "../ports.ts";
import type { LogEvent } from "../protocol/log_event.ts";
import type { AccountDeps } from "./accounts.ts";
import type { ModelSettings } from "./model_request.ts";
import type { RunnerDeps } from "./runner_options.ts";
import type { TailDeps } from "./tail.ts";

export interface TurnsSettings extends ModelSettings {
  maxHistory: number;
  maxEvents: number;
  continuePolicy: ContinuePolicy;
}

export interface TurnsDeps extends RunnerDeps, AccountDeps, TailDeps {
  log: Log;
  eventLog: EventLog;
  settings: TurnsSettings;
}

export interface TurnsOptions {
  /** Shared by all sessions. */
  deps: TurnsDeps;
  memory: SessionMemory;
  /** Called with each event of the log. */
  onEvent(event: LogEvent): void;
  /** Called when the store says that the session is no more. */
  onGone(): void;
}

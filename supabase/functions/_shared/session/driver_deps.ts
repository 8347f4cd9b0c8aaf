/** What the driver of a session needs, and what it reports to. */

import type { ActivityReporter } from "../activity/reporter.ts";
import type { Metrics } from "../metrics.ts";
import type { Agent } from "../ports/agent.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { Clock, Log, WorkerLifetime } from "../ports/runtime.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { LogEvent } from "../protocol/log_event.ts";
import type { CallSource, SessionCall } from "../protocol/session_call.ts";
import type { AccountDeps } from "./accounts.ts";
import type { WishResult } from "./core/effect.ts";
import type { ModelCallsDeps } from "./model_calls.ts";
import type { ModelSettings } from "./model_request.ts";
import type { TitleMaker } from "./title_maker.ts";
import type { WakeTimes } from "./wake_times.ts";

export interface DriverDeps extends ModelCallsDeps, AccountDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  lifetime: WorkerLifetime;
  activity: ActivityReporter;
  eventLog: EventLog;
  /** Shared by all sessions of the worker. */
  wakeTimes: WakeTimes;
  settings: ModelSettings;
  /** The agent of a session; undefined for one that has nothing of its own. */
  agentOf(record: SessionRecord): Agent | undefined;
  /** Makes titles of conversations; undefined if no model is set for it. */
  titles?: Pick<TitleMaker, "answered"> | undefined;
  /** Sends a message to the other workers that hold the session; best effort. */
  call(sessionId: string, call: SessionCall): void;
  /** Sends the text of an answer, which may grow while it waits: at most one send per session is pending. */
  offer(sessionId: string, source: CallSource): void;
}

/** Observes the session. */
export interface DriverSink {
  /** An event of the log was folded. */
  onLearnt(event: LogEvent): void;
  /** The memory in use may have changed. `asking`: the token limit of the running answer; 0 if none runs. */
  onChanged(asking: number): void;
  onAnswer(wish: string, result: WishResult): void;
  /** The store has no such session any more. */
  onGone(): void;
  onDrained(): void;
}

/** What a {@linkcode Runner} needs, and whom it tells. */

import type { ActivityReporter } from "../activity/reporter.ts";
import type { Turn } from "../agent/turn.ts";
import type { Clock, LanguageModel, ModelRequest, SessionRecord, WorkerLifetime } from "../ports.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Feed } from "./feed.ts";
import type { Tenure } from "./tenure.ts";

export interface RunnerDeps {
  clock: Clock;
  model: LanguageModel;
  lifetime: WorkerLifetime;
  activity: ActivityReporter;
  checkpoints: Checkpoints;
  /** A lease is renewed after so long without a checkpoint, in milliseconds. */
  renewLeaseMs: number;
}

export interface RunnerOptions extends RunnerDeps {
  record: SessionRecord;
  feed: Feed;
  tenure: Tenure;
  /** Whether a turn may start: not before those that were asked earlier, and that nobody answers yet. */
  mayStart(): boolean;
  /** What to ask the model, at the moment when the turn starts. */
  requestFor(turn: Turn): ModelRequest;
  /** Whether the question has its place in the log: only then may its start be told apart from it. */
  isCommitted(turn: Turn): boolean;
  /** Called with each piece of the answer, and with an empty one when it starts. `offset` is in UTF-16 units. */
  onText(turn: Turn, offset: number): void;
  /** Called when a turn has ended here, before its end is in the log. */
  onEnded(turn: Turn, ended: TerminalEvent): void;
  /** Called when a turn is given up while its model is still asked: another worker answers the query, or nobody. */
  onInVain(turn: Turn): void;
  /** Called when a turn's end could not be brought into the log: `lease_lost` where another worker runs the turns. */
  onUnwritten(ended: TerminalEvent, thrown: unknown): void;
  /** Called when a write was refused because another worker has taken over. */
  onLost(): void;
  /** Called when what ran and waited here was dropped: it is another worker's, or nobody's. */
  onDisowned(): void;
}

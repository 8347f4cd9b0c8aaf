/**
 * What the agent tells of itself, to those who watch it here and at other workers. Until somebody does, nothing that
 * shows it is loaded.
 */

import type { ActivityHub, EventOwner } from "../_shared/activity/activity_hub.ts";
import { AgentActivity } from "../_shared/activity/agent_activity.ts";
import type { ActivitySink } from "../_shared/activity/reporter.ts";
import type { Config } from "../_shared/config.ts";
import type { Metrics } from "../_shared/metrics.ts";
import { OnDemand } from "../_shared/on_demand.ts";
import type { Clock, Ids, Log, Relay } from "../_shared/ports.ts";
import type { ActivityEvent } from "../_shared/protocol/activity_events.ts";
import { RELAY_MESSAGES } from "../_shared/protocol/topics.ts";
import type { Readers } from "./loaded_later.ts";
import type { WatchedActivity } from "./watched_activity.ts";

/** Events, and messages of the relay, that wait while what shows them is loaded; what is over it is dropped. */
const MAX_WAITING = 1000;

export interface LiveActivityDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  relay: Relay;
  workerId: string;
  readers: Readers;
  /** What there is at this moment. */
  count(): { sessions: number; runningTurns: number };
  /** Called with the first watcher, and with the last one's end. */
  onWatched(isWatched: boolean): void;
}

export class LiveActivity implements ActivitySink {
  /** What the agent tells goes in here. */
  readonly reporter: AgentActivity;
  readonly #log: Log;
  readonly #load: OnDemand<WatchedActivity>;

  constructor(config: Config, deps: LiveActivityDeps) {
    const reporter = this.reporter = new AgentActivity(this, deps.clock);
    this.#log = deps.log;
    this.#load = new OnDemand(async () => {
      const { createWatchedActivity } = await import("./watched_activity.ts");
      return createWatchedActivity(config, { deps, reporter });
    }, { maxWaiting: MAX_WAITING });
  }

  /** While it is loaded, somebody has come to watch, or has said so. */
  get isWatched(): boolean {
    return this.#load.loaded?.relayed.isWatched ?? this.#load.isWanted;
  }

  broadcast(event: ActivityEvent, owner?: EventOwner): void {
    // Nobody watches, or says so, before it is on its way.
    if (this.#load.isWanted) this.#load.use(({ relayed }) => relayed.broadcast(event, owner), () => {});
  }

  /** Takes a message of the relay. Answers whether it was about activity. */
  receive(name: string, payload: unknown): boolean {
    if (name !== RELAY_MESSAGES.activityWatched && name !== RELAY_MESSAGES.activity) return false;
    this.#load.use(
      ({ relayed }) => relayed.receive(name, payload),
      (error) => this.#log.write({ level: "error", event: "activity_not_read", error }),
    );
    return true;
  }

  /** Where somebody who watches is taken. */
  async hub(): Promise<ActivityHub> {
    return (await this.#load.get()).hub;
  }

  countWatchers(): number {
    return this.#load.loaded?.hub.getClientCount() ?? 0;
  }

  close(): void {
    this.#load.loaded?.hub.close();
  }
}

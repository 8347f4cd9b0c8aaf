/**
 * The agent's live activity, for watchers at this worker and at others. Until there is a watcher, no module that
 * shows it is loaded.
 */

import type { ActivityHub, EventOwner } from "../_shared/activity/activity_hub.ts";
import { AgentActivity } from "../_shared/activity/agent_activity.ts";
import { type ActivityRelay, RelayedActivity } from "../_shared/activity/relayed_activity.ts";
import type { ActivitySink } from "../_shared/activity/reporter.ts";
import type { Config } from "../_shared/config.ts";
import { OnDemand } from "../_shared/on_demand.ts";
import type { Log } from "../_shared/ports/runtime.ts";
import type { ActivityEvent } from "../_shared/protocol/activity_events.ts";
import { RELAY_MESSAGES } from "../_shared/protocol/topics.ts";
import type { WatchedActivity, WatchedActivityDeps } from "./watched_activity.ts";

/** Events, and messages of the relay, that wait while the hub is loaded. More are dropped. */
const MAX_WAITING = 1000;

export interface LiveActivityDeps extends WatchedActivityDeps {
  relay: ActivityRelay;
  workerId: string;
}

export class LiveActivity implements ActivitySink {
  /** Takes the agent's reports. */
  readonly reporter: AgentActivity;
  readonly #log: Log;
  /** Undefined where there are no other workers. */
  readonly #relayed: RelayedActivity | undefined;
  readonly #load: OnDemand<WatchedActivity>;

  constructor(config: Config, deps: LiveActivityDeps) {
    const reporter = this.reporter = new AgentActivity(this, deps.clock);
    this.#log = deps.log;
    const isShared = config.RELAY !== "off" && config.project !== undefined;
    const isWatchedHere = (): boolean => this.#load.loaded?.hub.isWatched ?? false;
    const relayed = this.#relayed = isShared ? new RelayedActivity({ ...deps, isWatchedHere }) : undefined;
    this.#load = new OnDemand(async () => {
      const { createWatchedActivity } = await import("./watched_activity.ts");
      return createWatchedActivity(config, { deps, reporter, sink: this, relayed });
    }, { maxWaiting: MAX_WAITING });
  }

  /** Whether there is a watcher here, or one is connecting, or another worker may have one. */
  get isWatched(): boolean {
    const isWatchedHere = this.#load.loaded?.hub.isWatched ?? this.#load.isWanted;
    return isWatchedHere || (this.#relayed?.mayBeWatched ?? false);
  }

  broadcast(event: ActivityEvent, owner?: EventOwner): void {
    this.#relayed?.broadcast(event, owner);
    // Until loading has begun there is no watcher here.
    if (this.#load.isWanted) this.#load.use(({ hub }) => hub.broadcast(event, owner), () => {});
  }

  /** This worker is about to join the topic of all workers. */
  joining(): void {
    this.#relayed?.joining();
  }

  joined(): void {
    this.#relayed?.joined();
  }

  /** Takes a message of the relay. Answers whether it was about activity. */
  receive(name: string, payload: unknown): boolean {
    const isOwn = this.#relayed?.isOwn(payload) ?? true;
    switch (name) {
      case RELAY_MESSAGES.activityAsked:
        if (!isOwn) this.#relayed?.heardAsked();
        return true;
      case RELAY_MESSAGES.activityWatched:
        if (!isOwn) this.#relayed?.heardWatched();
        return true;
      case RELAY_MESSAGES.activity:
        if (!isOwn && this.#load.isWanted) this.#show(payload);
        return true;
      default:
        return false;
    }
  }

  #show(payload: unknown): void {
    this.#load.use(
      ({ show }) => show(payload),
      (error) => this.#log.write({ level: "error", event: "activity_not_read", error }),
    );
  }

  /** The hub that admits watchers. Loads it first if needed. */
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

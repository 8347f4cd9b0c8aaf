/**
 * Activity that crosses workers. A worker that is watched says so over the relay, again and again; only while somebody
 * does are events sent, so an agent that nobody watches costs the relay nothing.
 */

import type { OnDemand } from "../on_demand.ts";
import type { CancelTimer, Clock, Log, Relay } from "../ports.ts";
import type { ActivityEvent } from "../protocol/activity_events.ts";
import type { ParseActivity } from "../protocol/published_activity.ts";
import { EVERYONE_TOPIC, RELAY_MESSAGES } from "../protocol/topics.ts";
import type { ActivityHub, EventOwner } from "./activity_hub.ts";
import { every } from "./every.ts";
import type { ActivitySink } from "./reporter.ts";

/** How often a watched worker says so, and how long it is believed. */
const SAY_MS = 5000;
const BELIEVE_MS = 12_000;

export interface RelayedActivityOptions {
  hub: ActivityHub;
  relay: Relay;
  clock: Clock;
  log: Log;
  parser: OnDemand<ParseActivity>;
  /** Tells this worker's own messages from the others'. */
  workerId: string;
}

export class RelayedActivity implements ActivitySink {
  readonly #options: RelayedActivityOptions;
  /** Until when somebody watches on another worker, in milliseconds since the epoch. */
  #watchedUntil = 0;
  /** Whether the relay has failed since it last took something: said once. */
  #isFailing = false;

  constructor(options: RelayedActivityOptions) {
    this.#options = options;
    options.hub.whileWatched(() => this.#sayWatched());
  }

  get isWatched(): boolean {
    return this.#options.hub.isWatched || this.#isWatchedElsewhere();
  }

  broadcast(event: ActivityEvent, owner: EventOwner = {}): void {
    this.#options.hub.broadcast(event, owner);
    if (this.#isWatchedElsewhere()) this.#publish(RELAY_MESSAGES.activity, { event, ...owner });
  }

  /** Takes a message of the relay that is about activity. */
  receive(name: string, payload: unknown): void {
    const { hub, clock, log, parser, workerId } = this.#options;
    const { from, event, userId } = typeof payload === "object" && payload !== null
      ? payload as Record<string, unknown>
      : {};
    if (from === workerId) return;
    if (name === RELAY_MESSAGES.activityWatched) {
      this.#watchedUntil = clock.now() + BELIEVE_MS;
      return;
    }
    const owned = typeof event === "object" && typeof userId === "string"
      ? { ...event, user_id: userId }
      : event;
    parser.use((parse) => {
      const read = parse(owned, clock.now());
      if ("event" in read) hub.broadcast(read.event, { userId: read.userId });
    }, (error) => log.write({ level: "error", event: "activity_not_read", error }));
  }

  #isWatchedElsewhere(): boolean {
    return this.#watchedUntil > 0 && this.#options.clock.now() < this.#watchedUntil;
  }

  #sayWatched(): CancelTimer {
    const say = (): void => this.#publish(RELAY_MESSAGES.activityWatched, {});
    say();
    return every(this.#options.clock, SAY_MS, say);
  }

  #publish(name: string, payload: Record<string, unknown>): void {
    const { relay, log, workerId } = this.#options;
    relay.publish(EVERYONE_TOPIC, { event: name, payload: { from: workerId, ...payload } }).then(() => {
      this.#isFailing = false;
    }, (error) => {
      if (!this.#isFailing) log.write({ level: "warn", event: "activity_not_relayed", error });
      this.#isFailing = true;
    });
  }
}

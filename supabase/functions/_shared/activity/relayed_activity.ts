/**
 * Activity that crosses workers. A worker with watchers announces that over the relay periodically, and whenever a worker that
 * has just joined asks. Events are sent only during that time, so an agent without watchers costs the relay nothing.
 *
 * A worker that has just joined, or rejoined, does not know yet whether another one has watchers, and its first turn may be
 * running before it does. It keeps its events until then, and sends them when another worker announces watchers.
 */

import type { RelayMessage } from "../ports/relay.ts";
import type { CancelTimer, Clock } from "../ports/runtime.ts";
import type { ActivityEvent } from "../protocol/activity_events.ts";
import { EVERYONE_TOPIC, RELAY_MESSAGES } from "../protocol/topics.ts";
import type { EventOwner } from "./activity_hub.ts";
import { every } from "./every.ts";

/** Interval of the announcements of a worker with watchers, and how long one is valid. */
const ANNOUNCE_EVERY_MS = 5000;
const BELIEVE_MS = 12_000;
/** How long joining the topic may take, and how long the other workers have to answer that they have watchers. */
export const LISTEN_WITHIN_MS = 10_000;
export const ANSWER_WITHIN_MS = 2000;
/** More than a first turn has. Later events are dropped. */
export const MAX_KEPT_EVENTS = 200;

/** The part of the relay that is used here. Messages may be lost. */
export interface ActivityRelay {
  ring(
    topic: string,
    message: RelayMessage,
    options: { key?: string; lane: "prompt" | "background" },
  ): void;
}

export interface RelayedActivityOptions {
  relay: ActivityRelay;
  clock: Clock;
  /** Distinguishes this worker's own messages from those of the others. */
  workerId: string;
  /** Whether this worker has watchers. */
  isWatchedHere(): boolean;
}

interface KeptEvent {
  event: ActivityEvent;
  owner: EventOwner;
}

/** Whether another worker has watchers, as far as this one knows. Times are in milliseconds since the epoch. */
type Elsewhere =
  | { name: "nobody" }
  | { name: "unknown"; until: number; kept: KeptEvent[] }
  | { name: "watched"; until: number };

export class RelayedActivity {
  readonly #options: RelayedActivityOptions;
  #elsewhere: Elsewhere = { name: "nobody" };

  constructor(options: RelayedActivityOptions) {
    this.#options = options;
  }

  /** Whether another worker has or may have watchers. If not, callers need not create an event at all. */
  get mayBeWatched(): boolean {
    const elsewhere = this.#elsewhere;
    if (elsewhere.name === "nobody") return false;
    if (this.#options.clock.now() < elsewhere.until) return true;
    this.#elsewhere = { name: "nobody" };
    return false;
  }

  /** Sends an event to the other workers if one of them is watched, and keeps it where that is not known yet. */
  broadcast(event: ActivityEvent, owner: EventOwner = {}): void {
    if (!this.mayBeWatched) return;
    const elsewhere = this.#elsewhere;
    if (elsewhere.name === "watched") this.#send(event, owner);
    else if (elsewhere.name === "unknown" && elsewhere.kept.length < MAX_KEPT_EVENTS) {
      elsewhere.kept.push({ event, owner });
    }
  }

  /** This worker is about to join the topic. */
  joining(): void {
    this.#doubt(LISTEN_WITHIN_MS);
  }

  /** The topic is joined: asks which workers have watchers, and announces its own. */
  joined(): void {
    this.#doubt(ANSWER_WITHIN_MS);
    this.#say(RELAY_MESSAGES.activityAsked);
    this.#answer();
  }

  /** Announces this worker's watchers, now and periodically until the returned function is called. */
  sayWatched(): CancelTimer {
    this.#answer();
    return every(this.#options.clock, ANNOUNCE_EVERY_MS, () => this.#answer());
  }

  /** Another worker has announced watchers. */
  heardWatched(): void {
    const elsewhere = this.#elsewhere;
    this.#elsewhere = { name: "watched", until: this.#options.clock.now() + BELIEVE_MS };
    if (elsewhere.name !== "unknown") return;
    for (const { event, owner } of elsewhere.kept) this.#send(event, owner);
  }

  /** Another worker asks. */
  heardAsked(): void {
    this.#answer();
  }

  /** Whether it comes from this very worker: it hears itself. */
  isOwn(payload: unknown): boolean {
    return typeof payload === "object" && payload !== null && "from" in payload &&
      payload.from === this.#options.workerId;
  }

  #doubt(forMs: number): void {
    const until = this.#options.clock.now() + forMs;
    const elsewhere = this.#elsewhere;
    if (!this.mayBeWatched) this.#elsewhere = { name: "unknown", until, kept: [] };
    else if (elsewhere.name === "unknown") elsewhere.until = until;
  }

  #answer(): void {
    if (this.#options.isWatchedHere()) this.#say(RELAY_MESSAGES.activityWatched);
  }

  #say(event: string): void {
    const { relay, workerId } = this.#options;
    relay.ring(EVERYONE_TOPIC, { event, payload: { from: workerId } }, { key: event, lane: "prompt" });
  }

  #send(event: ActivityEvent, owner: EventOwner): void {
    const { relay, workerId } = this.#options;
    const payload = { from: workerId, event, ...owner };
    relay.ring(EVERYONE_TOPIC, { event: RELAY_MESSAGES.activity, payload }, { lane: "background" });
  }
}

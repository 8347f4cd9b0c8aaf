/**
 * Activity that crosses workers. A worker that is watched says so over the relay, again and again, and whenever one that has
 * just come asks; only while somebody does are events sent, so an agent that nobody watches costs the relay nothing.
 *
 * A worker that has just come, or come back, does not know yet whether anybody watches, and by the time it does its first turn
 * is under way: what it tells until then is kept, and sent as soon as somebody answers.
 */

import type { CancelTimer, Clock, RelayMessage } from "../ports.ts";
import type { ActivityEvent } from "../protocol/activity_events.ts";
import { EVERYONE_TOPIC, RELAY_MESSAGES } from "../protocol/topics.ts";
import type { EventOwner } from "./activity_hub.ts";
import { every } from "./every.ts";

/** How often a watched worker says so, and how long it is believed. */
const ANNOUNCE_EVERY_MS = 5000;
const BELIEVE_MS = 12_000;
/** How long a worker may take to listen, and the others to answer that they are watched. */
export const LISTEN_WITHIN_MS = 10_000;
export const ANSWER_WITHIN_MS = 2000;
/** More than a first turn has; those after it are not kept. */
export const MAX_KEPT_EVENTS = 200;

/** The part of the relay that is used: what it is given may be lost. */
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
  /** Tells this worker's own messages from the others'. */
  workerId: string;
  /** Whether somebody watches at this worker. */
  isWatchedHere(): boolean;
}

interface KeptEvent {
  event: ActivityEvent;
  owner: EventOwner;
}

/** Whether somebody watches at another worker, as far as it is known. Times are in milliseconds since the epoch. */
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

  /** Whether somebody watches at another worker, or may: if not, an event need not even be made. */
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

  /** This worker is about to hear of the others. */
  joining(): void {
    this.#doubt(LISTEN_WITHIN_MS);
  }

  /** It hears them from now on: asks who is watched, and says whether it is itself. */
  joined(): void {
    this.#doubt(ANSWER_WITHIN_MS);
    this.#say(RELAY_MESSAGES.activityAsked);
    this.#answer();
  }

  /** Says that this worker is watched, now and until it is ended. */
  sayWatched(): CancelTimer {
    this.#answer();
    return every(this.#options.clock, ANNOUNCE_EVERY_MS, () => this.#answer());
  }

  /** Another worker has said that it is watched. */
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

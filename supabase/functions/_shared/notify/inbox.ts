/**
 * The worker's end of the relay: joins the topics of the sessions it holds, and hands on what comes.
 *
 * A topic is joined with its first session and left with its last, so a worker with 5,000 sessions listens to no more
 * topics than there are shards.
 */

import type { OnDemand } from "../on_demand.ts";
import type { Relay, RelayMessage } from "../ports/relay.ts";
import type { Log } from "../ports/runtime.ts";
import type { NotificationEvent } from "../protocol/log_event.ts";
import type { readSessionCall, SessionCall } from "../protocol/session_call.ts";
import { RELAY_MESSAGES } from "../protocol/topics.ts";
import type { readRelayedNotification } from "./relayed.ts";

/** Ids of notifications that were handed on: the relay may bring one twice. */
const MAX_SEEN = 10_000;

/** Where what comes is to go. None of these may throw. */
export interface InboxSinks {
  toSession(sessionId: string, notification: NotificationEvent): void;
  toUser(userId: string, notification: NotificationEvent): void;
  toEveryone(notification: NotificationEvent): void;
  /** A message of another worker, or of a function, about a session. */
  call(sessionId: string, call: SessionCall): void;
  /** Messages may have been missed. */
  missed(): void;
  /** Answers whether it was about activity. */
  activity(name: string, payload: unknown): boolean;
  /** What is for everyone will be heard from a moment on that comes soon, and is heard from now on. */
  joiningEveryone(): void;
  joinedEveryone(): void;
}

/** Validates messages of the relay. */
export interface RelayReaders {
  readSessionCall: typeof readSessionCall;
  readRelayedNotification: typeof readRelayedNotification;
}

export interface InboxOptions {
  relay: Relay;
  readers: OnDemand<RelayReaders>;
  log: Log;
  topicOf(sessionId: string): string;
  everyoneTopic: string;
  /** This worker's name in calls: it hears its own. */
  self: string;
  sinks: InboxSinks;
}

export class Inbox {
  readonly #options: InboxOptions;
  /** Joined topics: how many need it, and how to leave. */
  readonly #topics = new Map<string, { needs: number; leave: () => void }>();
  readonly #seen = new Set<string>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** A session is here now: what is for it, its user or everyone is wanted. */
  sessionOpened(sessionId: string): void {
    this.#need(this.#options.topicOf(sessionId));
    this.#need(this.#options.everyoneTopic);
  }

  /** It is gone. */
  sessionClosed(sessionId: string): void {
    this.#drop(this.#options.topicOf(sessionId));
    this.#drop(this.#options.everyoneTopic);
  }

  /** The first watcher of the activity of all workers has come, or the last one has left. */
  watched(isWatched: boolean): void {
    if (isWatched) this.#need(this.#options.everyoneTopic);
    else this.#drop(this.#options.everyoneTopic);
  }

  #need(topic: string): void {
    const joined = this.#topics.get(topic);
    if (joined !== undefined) {
      joined.needs++;
      return;
    }
    const { relay, everyoneTopic, sinks } = this.#options;
    const isEveryone = topic === everyoneTopic;
    if (isEveryone) sinks.joiningEveryone();
    const leave = relay.subscribe(topic, {
      onMessage: (message) => this.#receive(message),
      onGap: () => {
        sinks.missed();
        if (isEveryone) sinks.joinedEveryone();
      },
    });
    this.#topics.set(topic, { needs: 1, leave });
    // The topic was still joined, so there is no gap to report.
    if (isEveryone && relay.status === "ok") sinks.joinedEveryone();
  }

  #drop(topic: string): void {
    const joined = this.#topics.get(topic);
    if (joined === undefined || --joined.needs > 0) return;
    this.#topics.delete(topic);
    joined.leave();
  }

  #receive({ event, payload }: RelayMessage): void {
    const { sinks, readers, log } = this.#options;
    if (sinks.activity(event, payload)) return;
    // What is in a log is found there; the relay has never promised the rest.
    if (readers.isFull) return sinks.missed();
    readers.use(
      (readers) => this.#read(event, payload, readers),
      (error) => log.write({ level: "error", event: "relay_message_not_read", name: event, error }),
    );
  }

  #read(event: string, payload: unknown, readers: RelayReaders): void {
    const { sinks, log, self } = this.#options;
    const called = event === RELAY_MESSAGES.sessionCall ? readers.readSessionCall(payload) : undefined;
    if (called !== undefined) {
      if (called.from !== self) sinks.call(called.sessionId, called.call);
      return;
    }
    const relayed = event === RELAY_MESSAGES.notification
      ? readers.readRelayedNotification(payload)
      : undefined;
    if (relayed === undefined) {
      return log.write({ level: "warn", event: "relay_message_unknown", name: event });
    }
    const { target, notification } = relayed;
    if (!this.#isNew(notification.notificationId)) return;
    if (target.kind === "session") sinks.toSession(target.sessionId, notification);
    else if (target.kind === "user") sinks.toUser(target.userId, notification);
    else sinks.toEveryone(notification);
  }

  #isNew(id: string): boolean {
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    const [oldest] = this.#seen;
    if (this.#seen.size > MAX_SEEN && oldest !== undefined) this.#seen.delete(oldest);
    return true;
  }
}

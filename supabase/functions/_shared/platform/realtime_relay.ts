/** The relay over Supabase Realtime: which topics are wanted, and the way back after any trouble. */

import { AgentError } from "../errors.ts";
import type { Relay, RelayListener, RelayMessage, RelayPressure, RelayStatus } from "../ports/relay.ts";
import type { CancelTimer, Clock, Log } from "../ports/runtime.ts";
import {
  connectRealtime,
  type RealtimeConnection,
  type RealtimeEvents,
  type RealtimeJs,
} from "./realtime_connection.ts";
import { RealtimePublisher } from "./realtime_publisher.ts";

/** Retries wait 0.5 to 1 times these: a second's worth of workers must not come back at the same moment. */
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 10_000;
/** What Realtime says before it closes a channel for too many messages (realtime, realtime_channel.ex). */
const OVER_THE_RATE = "Too many messages per second";
/** A connection that lasted this long was a good one, and the next retry is the first again. */
const STABLE_MS = 30_000;

/** How the outside world is reached; a test may have its own. */
export interface RelayPlumbing {
  clock: Clock;
  log: Log;
  /** From 0 up to 1. */
  random(): number;
  /** How long a topic without listeners stays joined: a listener often comes back. */
  lingerMs: number;
  connect(events: RealtimeEvents): Promise<RealtimeConnection>;
  publish(topic: string, message: RelayMessage): Promise<void>;
  /** Called when channels are closed because the project has too many messages. Must not throw. */
  onPressure?(pressure: RelayPressure): void;
}

export interface RealtimeRelayOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  /** `sb_secret_…`, or the legacy service role key. */
  secretKey: string;
  clock: Clock;
  log: Log;
  /** Default `Math.random`. */
  random?(): number;
  /** Default 5,000. */
  lingerMs?: number;
  /** How long a join may take. Realtime takes 5 s to refuse one. Default 10,000. */
  joinTimeoutMs?: number;
  /** Default 25,000, and 10,000 for the answer: a server that vanished is noticed within 35 s. */
  heartbeatMs?: number;
  heartbeatTimeoutMs?: number;
  /** How long Realtime may take to accept a message. Default 5,000. */
  publishTimeoutMs?: number;
  /** Loads supabase-js. Default: a dynamic import. */
  load?(): Promise<RealtimeJs>;
  /** Called with the project's message rate that Realtime reports. Must not throw. Default: none. */
  onPressure?(pressure: RelayPressure): void;
}

/**
 * One connection, made when the first topic is wanted and ended with the last; private channels; messages are sent over
 * HTTP. supabase-js is loaded for the connection: it takes some 30 ms of a worker's CPU.
 */
export function createRealtimeRelay(options: RealtimeRelayOptions): Relay {
  const { supabaseUrl, secretKey, clock, log, random = Math.random, lingerMs = 5000 } = options;
  const { load = () => import("@supabase/supabase-js"), publishTimeoutMs = 5000 } = options;
  const { joinTimeoutMs = 10_000, heartbeatMs = 25_000, heartbeatTimeoutMs = 10_000 } = options;
  const { onPressure = () => {} } = options;
  const publisher = new RealtimePublisher({
    supabaseUrl,
    secretKey,
    clock,
    timeoutMs: publishTimeoutMs,
    onPressure,
  });
  const connection = { supabaseUrl, secretKey, clock, joinTimeoutMs, heartbeatMs, heartbeatTimeoutMs };
  return new RealtimeRelay({
    clock,
    log,
    random,
    lingerMs,
    connect: async (events) => connectRealtime(await load(), connection, events),
    publish: (topic, message) => publisher.publish(topic, message),
    onPressure,
  });
}

interface Topic {
  /** An object for each subscription, as the same listener may subscribe twice. */
  readonly subscriptions: Set<{ readonly listener: RelayListener }>;
  isJoined: boolean;
  cancelLinger: CancelTimer;
}

/** What stands between the topics and the server. */
type Link =
  | { name: "none" }
  | { name: "connecting" }
  | { name: "connected"; connection: RealtimeConnection }
  | { name: "waiting"; cancel: CancelTimer };

/**
 * All topics share one key, one policy and one connection, so trouble with one is trouble with all: the connection is
 * thrown away and, after a while, made again.
 */
export class RealtimeRelay implements Relay {
  readonly #plumbing: RelayPlumbing;
  readonly #topics = new Map<string, Topic>();
  #link: Link = { name: "none" };
  #failures = 0;
  /** Since when every topic has been joined, on this connection. */
  #okSince: number | undefined;
  readonly #sending = new Set<Promise<void>>();
  #isClosed = false;

  constructor(plumbing: RelayPlumbing) {
    this.#plumbing = plumbing;
  }

  get status(): RelayStatus {
    let status: RelayStatus = "idle";
    for (const { subscriptions, isJoined } of this.#topics.values()) {
      if (subscriptions.size === 0) continue;
      if (!isJoined) return "connecting";
      status = "ok";
    }
    return status;
  }

  subscribe(name: string, listener: RelayListener): () => void {
    if (this.#isClosed) return () => {};
    const known = this.#topics.get(name);
    const topic = known ?? { subscriptions: new Set(), isJoined: false, cancelLinger: () => {} };
    const subscription = { listener };
    topic.cancelLinger();
    topic.subscriptions.add(subscription);
    if (known === undefined) {
      this.#topics.set(name, topic);
      this.#join(name);
    }
    return () => {
      if (!topic.subscriptions.delete(subscription) || topic.subscriptions.size > 0) return;
      if (this.#topics.get(name) !== topic) return;
      const { clock, lingerMs } = this.#plumbing;
      topic.cancelLinger = clock.after(lingerMs, () => this.#leave(name));
    };
  }

  async publish(topic: string, message: RelayMessage): Promise<void> {
    if (this.#isClosed) {
      throw new AgentError("relay_unavailable", "Cannot relay the message: the relay is closed", {
        retryable: true,
      });
    }
    const sent = this.#plumbing.publish(topic, message);
    const settled = sent.then(() => {}, () => {}).then(() => void this.#sending.delete(settled));
    this.#sending.add(settled);
    await sent;
  }

  /** Leaves everything, and waits for what is being sent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { cancelLinger } of this.#topics.values()) cancelLinger();
    this.#topics.clear();
    this.#unlink();
    await Promise.all(this.#sending);
  }

  #join(name: string): void {
    if (this.#link.name === "connected") this.#link.connection.join(name);
    else if (this.#link.name === "none") void this.#connect();
  }

  #leave(name: string): void {
    this.#topics.delete(name);
    if (this.#topics.size === 0) this.#unlink();
    else if (this.#link.name === "connected") this.#link.connection.leave(name);
  }

  async #connect(): Promise<void> {
    const link: Link = { name: "connecting" };
    this.#link = link;
    let connection: RealtimeConnection;
    const isCurrent = (): boolean => this.#link.name === "connected" && this.#link.connection === connection;
    try {
      connection = await this.#plumbing.connect({
        joined: (name) => isCurrent() && this.#joined(name),
        message: (name, message) =>
          isCurrent() && this.#tell(name, (listener) => listener.onMessage(message)),
        broken: (reason) => isCurrent() && this.#broken(reason),
      });
    } catch (error) {
      if (this.#link === link) this.#broken(`Cannot load supabase-js: ${error}`);
      return;
    }
    // Everybody may have gone meanwhile.
    if (this.#link !== link) return connection.close();
    this.#link = { name: "connected", connection };
    for (const name of this.#topics.keys()) connection.join(name);
  }

  #joined(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    topic.isJoined = true;
    if (this.#okSince === undefined && [...this.#topics.values()].every(({ isJoined }) => isJoined)) {
      const { clock, log } = this.#plumbing;
      this.#okSince = clock.now();
      log.write({ level: "info", event: "relay_joined", topics: this.#topics.size });
    }
    this.#tell(name, (listener) => listener.onGap?.());
  }

  #tell(name: string, what: (listener: RelayListener) => void): void {
    const subscriptions = this.#topics.get(name)?.subscriptions;
    if (subscriptions === undefined) return;
    // Iterate a copy: a listener added meanwhile gets the next message on. One that was removed meanwhile gets none.
    for (const subscription of [...subscriptions]) {
      if (subscriptions.has(subscription)) what(subscription.listener);
    }
  }

  #broken(reason: string): void {
    const { clock, log, random, onPressure } = this.#plumbing;
    if (reason.includes(OVER_THE_RATE)) onPressure?.({ isRefused: true });
    const lastedMs = this.#okSince === undefined ? 0 : clock.now() - this.#okSince;
    this.#unlink();
    for (const [name, topic] of this.#topics) {
      topic.isJoined = false;
      if (topic.subscriptions.size > 0) continue;
      topic.cancelLinger();
      this.#topics.delete(name);
    }
    if (lastedMs >= STABLE_MS) this.#failures = 0;
    const retryMs = (0.5 + random() / 2) * Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++);
    log.write({ level: "warn", event: "relay_lost", reason, lastedMs, failures: this.#failures, retryMs });
    if (this.#topics.size === 0) return;
    this.#link = { name: "waiting", cancel: clock.after(retryMs, () => void this.#connect()) };
  }

  #unlink(): void {
    if (this.#link.name === "connected") this.#link.connection.close();
    if (this.#link.name === "waiting") this.#link.cancel();
    this.#link = { name: "none" };
    this.#okSince = undefined;
  }
}

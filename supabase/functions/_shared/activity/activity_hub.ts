/**
 * Everyone who watches this worker's activity, and what they are shown.
 *
 * An event goes `broadcast → filter → socket`, or through `batches.ts` for those who asked for several a frame. It is
 * encoded once, and only if a watcher gets it. An event's owner is metadata, not part of the payload. Timers run only while
 * there are watchers.
 */

import type { Metrics } from "../metrics.ts";
import type { OnDemand } from "../on_demand.ts";
import type { Clock, Ids, Log, Socket } from "../ports/runtime.ts";
import type { DecodeAction } from "../protocol/activity_actions.ts";
import type { ActivityEvent } from "../protocol/activity_events.ts";
import { ACTIVITY_CLOSE } from "../protocol/close_codes.ts";
import { ActivityClient, type ClientDeps, type Watcher } from "./activity_client.ts";
import { Batches } from "./batches.ts";
import { every } from "./every.ts";
import { passes } from "./watch_filter.ts";

export interface ActivityConfig {
  /** Where watchers connect, after the function's own path. */
  path: string;
  /** Interval of the heartbeats to every watcher; 0 disables them. */
  heartbeatIntervalMs: number;
  /** How long a watcher may be silent where the runtime does not ping it; 0 for ever. */
  clientTimeoutMs: number;
  /** Watchers at a time; 0 for any number. */
  maxClients: number;
}

export const DEFAULT_ACTIVITY_CONFIG: Readonly<ActivityConfig> = {
  path: "/api/v1/activity/live",
  heartbeatIntervalMs: 30_000,
  clientTimeoutMs: 120_000,
  maxClients: 100,
};

export interface ActivityDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  decoder: OnDemand<DecodeAction>;
  /** What may wait for one watcher. */
  maxBufferedBytes: number;
  /** A longer frame of a watcher is ignored. */
  maxMessageBytes: number;
  /** Whether the runtime sends pings and closes clients that do not answer. If so, the hub closes none for silence. */
  isPinged: boolean;
}

/** Whose an event is; without `userId` it is shown only to those who see everything. */
export interface EventOwner {
  userId?: string | undefined;
}

/** Starts something, and answers with what ends it. */
export type Start = () => () => void;

export class ActivityHub {
  readonly config: Readonly<ActivityConfig>;
  readonly #deps: ActivityDeps;
  readonly #clientDeps: Omit<ClientDeps, "onOpened">;
  readonly #clients = new Map<string, ActivityClient>();
  /** Those who get each event in a frame of its own. */
  readonly #direct = new Set<ActivityClient>();
  readonly #batches: Batches<ActivityClient>;
  /** Tasks that run while there are watchers, each with the function that stops it while it runs. */
  readonly #starts: Start[] = [];
  #ends: (() => void)[] = [];
  #isRunning = false;
  /** How often it was closed: a socket that was coming up then must not slip in later. */
  #closings = 0;

  /** What `config` leaves out, or has as undefined, is as in {@linkcode DEFAULT_ACTIVITY_CONFIG}. */
  constructor(
    deps: ActivityDeps,
    config: { readonly [Name in keyof ActivityConfig]?: ActivityConfig[Name] | undefined } = {},
  ) {
    const { clock, log, decoder, maxBufferedBytes, maxMessageBytes } = deps;
    const { path, heartbeatIntervalMs, clientTimeoutMs, maxClients } = DEFAULT_ACTIVITY_CONFIG;
    this.config = {
      path: config.path ?? path,
      heartbeatIntervalMs: config.heartbeatIntervalMs ?? heartbeatIntervalMs,
      clientTimeoutMs: config.clientTimeoutMs ?? clientTimeoutMs,
      maxClients: config.maxClients ?? maxClients,
    };
    this.#deps = deps;
    this.#batches = new Batches({ clock, maxBufferedBytes });
    this.#clientDeps = {
      clock,
      decoder,
      maxBufferedBytes,
      maxMessageBytes,
      onFailed: (error) => log.write({ level: "error", event: "activity_frame_failed", error }),
      onSubscribed: (client) => this.#place(client),
      onGone: (client, code) => this.#remove(client, code),
    };
    this.whileWatched(() => every(clock, this.config.heartbeatIntervalMs, () => this.#beat()));
    if (!deps.isPinged) {
      this.whileWatched(() => every(clock, this.config.clientTimeoutMs / 2, () => this.#sweep()));
    }
  }

  /** Whether there are watchers. If not, callers need not create an event at all. */
  get isWatched(): boolean {
    return this.#clients.size > 0;
  }

  /** Runs a task whenever there are watchers, from the first watcher to the last. */
  whileWatched(start: Start): void {
    this.#starts.push(start);
    if (this.isWatched) this.#ends.push(start());
  }

  /** Takes a socket that is coming up. Its owner calls `opened`, `received` and `lost` on the answer. */
  connect(socket: Socket, watcher: Watcher): ActivityClient {
    const closings = this.#closings;
    return new ActivityClient(`ws-${this.#deps.ids.uuid()}`, socket, watcher, {
      ...this.#clientDeps,
      onOpened: (client) => {
        if (closings === this.#closings) this.#admit(client);
        else client.close(ACTIVITY_CLOSE.shuttingDown);
      },
    });
  }

  /**
   * Shows an event to everyone who may see it and wants to. Never throws: an event that cannot be encoded is logged,
   * counted and dropped.
   */
  broadcast(event: ActivityEvent, { userId }: EventOwner = {}): void {
    if (!this.isWatched) return;
    try {
      const { type } = event;
      let encoded: string | undefined;
      const encode = (): string => encoded ??= encodeEvent(event);
      for (const client of this.#direct) {
        if (passes(client, type, userId)) client.send(encode());
      }
      this.#batches.push(type, userId, encode);
    } catch (error) {
      this.#deps.metrics.count("activity_events_failed_total");
      this.#deps.log.write({ level: "error", event: "activity_event_failed", error });
    }
  }

  getClientCount(): number {
    return this.#clients.size;
  }

  /** Whether it has taken watchers and was not closed since; the next watcher starts it again. */
  getIsRunning(): boolean {
    return this.#isRunning;
  }

  /** Who watches, in the order in which they came. */
  getClientInfo(): Array<{ clientId: string; connectedAt: Date; subscribedTypes: string[] }> {
    return Array.from(this.#clients.values(), ({ id, connectedAt, types }) => ({
      clientId: id,
      connectedAt: new Date(connectedAt),
      subscribedTypes: [...types],
    }));
  }

  /** Sends what was gathered, closes every watcher and stops. */
  close(): void {
    this.#closings++;
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#batches.flush();
    const watchers = this.#clients.size;
    for (const client of this.#clients.values()) client.close(ACTIVITY_CLOSE.shuttingDown);
    this.#deps.log.write({ level: "info", event: "activity_closed", watchers });
  }

  #admit(client: ActivityClient): void {
    const { log, metrics } = this.#deps;
    const { maxClients } = this.config;
    metrics.count("activity_watchers_opened_total");
    if (maxClients > 0 && this.#clients.size >= maxClients) {
      log.write({ level: "warn", event: "activity_watcher_refused", watchers: this.#clients.size });
      return client.close(ACTIVITY_CLOSE.full);
    }
    this.#isRunning = true;
    this.#clients.set(client.id, client);
    this.#direct.add(client);
    log.write({ level: "debug", event: "activity_watcher_connected", client_id: client.id });
    client.admit();
    // Only now: what starts may have something to say, and the newcomer's first frame is already out.
    if (this.#clients.size === 1) this.#ends = this.#starts.map((start) => start());
  }

  #place(client: ActivityClient): void {
    if (client.batchMs > 0) {
      this.#direct.delete(client);
      this.#batches.place(client, { filter: client, batchMs: client.batchMs });
    } else {
      this.#batches.remove(client);
      this.#direct.add(client);
    }
  }

  #remove(client: ActivityClient, code: number): void {
    this.#deps.metrics.count("activity_watchers_closed_total", code);
    this.#deps.log.write({ level: "debug", event: "activity_watcher_gone", client_id: client.id, code });
    if (!this.#clients.delete(client.id)) return;
    this.#direct.delete(client);
    this.#batches.remove(client);
    if (this.isWatched) return;
    const ends = this.#ends;
    this.#ends = [];
    for (const end of ends) end();
  }

  /** To everyone, whatever they subscribed to: a keepalive is no event. */
  #beat(): void {
    for (const client of this.#clients.values()) client.tell("heartbeat", "keepalive");
  }

  #sweep(): void {
    const now = this.#deps.clock.now();
    for (const client of this.#clients.values()) {
      if (now - client.lastActivity > this.config.clientTimeoutMs) client.close(ACTIVITY_CLOSE.stale);
    }
  }
}

function encodeEvent(event: ActivityEvent): string {
  const text: string | undefined = JSON.stringify(event);
  if (text === undefined) throw new TypeError("Cannot send event: it is nothing that JSON knows");
  return text;
}

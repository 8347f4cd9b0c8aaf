/**
 * One connection to Supabase Realtime with its channels, used until its first trouble and then thrown away.
 *
 * What supabase-js 2.119.1 does was read in its sources (realtime-js, and the phoenix client inside it):
 * - It reconnects and rejoins by timers of its own, without jitter; but a channel that the server closed (`phx_close`: an
 *   expired token, too many messages) it never joins again, and after a refused handshake the callback of `subscribe` is
 *   called once and then no more. A first join that waits while the connection is being made again is sent twice. So its
 *   timers are not used: the relay makes a new client after any trouble, and this one goes before they can fire.
 * - `disconnect()` leaves a timer of 10 s behind, and the end of the last channel, by whichever side, one of 50 s and then
 *   that one. So a client always has a channel, and is ended by taking away its socket: see {@linkcode DroppableSocket}.
 * - A frame that it cannot read throws out of the event handler, which would end the worker: see `decode`.
 *
 * Keys: the gateway puts a JWT of the role `service_role` in the place of a secret key, `sb_secret_…` in `apikey`, and lets
 * a legacy service role key through, which is one. Realtime takes that of the connection for a join without an
 * `access_token`, and ignores tokens that begin with `sb_` (realtime, realtime_channel.ex; supabase/cli, kong.yml). So
 * there is nothing to `setAuth`; and when the gateway's token expires, as it does after a day, the server closes the
 * channels, and the next connection gets a new one.
 */

import type { RelayMessage } from "../ports/relay.ts";
import type { CancelTimer, Clock } from "../ports/runtime.ts";

/** What is used of supabase-js. */
export type RealtimeJs = Pick<typeof import("@supabase/supabase-js"), "RealtimeClient">;
type RealtimeClient = InstanceType<RealtimeJs["RealtimeClient"]>;
type RealtimeChannel = ReturnType<RealtimeClient["channel"]>;

/** Events for the relay. None of these may throw. */
export interface RealtimeEvents {
  joined(topic: string): void;
  message(topic: string, message: RelayMessage): void;
  /** The connection is unusable: no other event follows, and its owner must close it. Never called from within a method. */
  broken(reason: string): void;
}

/** A connection as the relay sees it. */
export interface RealtimeConnection {
  join(topic: string): void;
  leave(topic: string): void;
  close(): void;
}

export interface RealtimeConnectionOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  /** `sb_secret_…`, or the legacy service role key. */
  secretKey: string;
  clock: Clock;
  /** How long a join may take, with the making of the connection. */
  joinTimeoutMs: number;
  /** How often the server is asked for a sign of life. */
  heartbeatMs: number;
  /** How long it may take to give one. Less than `heartbeatMs`, so that supabase-js does not notice first. */
  heartbeatTimeoutMs: number;
}

/** Starts to connect with the first `join`. */
export function connectRealtime(
  realtimeJs: RealtimeJs,
  options: RealtimeConnectionOptions,
  events: RealtimeEvents,
): RealtimeConnection {
  return new SupabaseConnection(realtimeJs, options, events);
}

/** A topic that is never joined and never used otherwise. */
const PLACEHOLDER = "agent_websocket:placeholder";

/** Our name for where Realtime is, as supabase-js makes it from the project's URL. */
export function realtimeUrl(supabaseUrl: string): string {
  return `${supabaseUrl.replace(/^http/i, "ws")}/realtime/v1`;
}

class SupabaseConnection implements RealtimeConnection {
  readonly #options: RealtimeConnectionOptions;
  readonly #events: RealtimeEvents;
  readonly #client: RealtimeClient;
  readonly #channels = new Map<string, RealtimeChannel>();
  readonly #joinDeadlines = new Map<string, CancelTimer>();
  #socket: DroppableSocket | undefined;
  #cancelHeartbeatDeadline: CancelTimer = () => {};
  #isEnded = false;

  constructor(realtimeJs: RealtimeJs, options: RealtimeConnectionOptions, events: RealtimeEvents) {
    this.#options = options;
    this.#events = events;
    const setSocket = (socket: DroppableSocket): void => void (this.#socket = socket);
    this.#client = new realtimeJs.RealtimeClient(realtimeUrl(options.supabaseUrl), {
      params: { apikey: options.secretKey },
      heartbeatIntervalMs: options.heartbeatMs,
      heartbeatCallback: (status) => this.#watchHeartbeat(status),
      transport: class extends DroppableSocket {
        constructor(url: string | URL, protocols?: string | string[]) {
          super(url, protocols);
          setSocket(this);
        }
      },
      decode: (frame, callback) => {
        try {
          this.#client.serializer.decode(frame, callback);
        } catch (error) {
          this.#break(`Cannot read a frame: ${error instanceof Error ? error.message : "unknown error"}`);
        }
      },
    });
    this.#client.channel(PLACEHOLDER);
  }

  join(topic: string): void {
    let lastWords = "";
    const { clock, joinTimeoutMs } = this.#options;
    this.#joinDeadlines.set(
      topic,
      clock.after(joinTimeoutMs, () => this.#break(`No answer to a join within ${joinTimeoutMs} ms`)),
    );
    const channel = this.#client.channel(topic, { config: { private: true } });
    this.#channels.set(topic, channel);
    channel
      // Both forms of a broadcast, text and binary, come as one here.
      .on("broadcast", { event: "*" }, ({ event, payload }) => {
        if (!this.#isEnded) this.#events.message(topic, { event, payload });
      })
      // Why a channel is about to be closed.
      .on("system", {}, ({ message }: { message?: unknown }) => lastWords = String(message));
    try {
      channel.subscribe((status, error) => {
        // Leaving closes a channel too.
        if (this.#channels.get(topic) !== channel) return;
        if (status === "SUBSCRIBED") this.#joined(topic);
        else this.#break([status, lastWords, error?.message].filter(Boolean).join(": "));
        // Its own time limit, which must never fire: it sets timers that nothing ends.
      }, joinTimeoutMs * 10);
    } catch (error) {
      this.#break(error instanceof Error ? error.message : "Cannot connect");
    }
  }

  leave(topic: string): void {
    const channel = this.#channels.get(topic);
    if (channel === undefined) return;
    this.#forget(topic);
    // Sends the leave if it can, and is over at once in any case: the phoenix client does not wait for the answer.
    void channel.unsubscribe();
  }

  close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#cancelHeartbeatDeadline();
    for (const topic of [...this.#channels.keys()]) this.#forget(topic);
    // Not `removeChannel`: see above. This ends a channel's timers.
    for (const channel of this.#client.getChannels()) channel.teardown();
    this.#socket?.drop();
    this.#client.reconnectTimer.reset();
  }

  #joined(topic: string): void {
    this.#joinDeadlines.get(topic)?.();
    this.#joinDeadlines.delete(topic);
    this.#events.joined(topic);
  }

  #forget(topic: string): void {
    this.#channels.delete(topic);
    this.#joinDeadlines.get(topic)?.();
    this.#joinDeadlines.delete(topic);
  }

  /** supabase-js would notice a silent server too, a whole interval later, and then start to reconnect. */
  #watchHeartbeat(status: string): void {
    this.#cancelHeartbeatDeadline();
    if (status !== "sent" || this.#isEnded) return;
    const { clock, heartbeatTimeoutMs } = this.#options;
    this.#cancelHeartbeatDeadline = clock.after(
      heartbeatTimeoutMs,
      () => this.#break(`No sign of life within ${heartbeatTimeoutMs} ms`),
    );
  }

  /** Later, as supabase-js is in the midst of something here: what it starts after this is ended with the rest. */
  #break(reason: string): void {
    queueMicrotask(() => {
      if (!this.#isEnded) this.#events.broken(reason);
    });
  }
}

/** A WebSocket that can be taken from the phoenix client, so that this has no more timers and never reconnects. */
class DroppableSocket extends WebSocket {
  drop(): void {
    // What it does on a close is to stop its heartbeats, and to set the timer to reconnect, which its owner ends. A real
    // close event may take long, or be lost with the network.
    this.onclose?.(new CloseEvent("close", { code: 1000, wasClean: true }));
    this.onopen = null;
    this.onmessage = null;
    this.onerror = null;
    this.onclose = null;
    this.close();
  }
}

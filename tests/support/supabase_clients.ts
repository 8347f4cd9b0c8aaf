/** Real supabase-js clients on a Realtime, and the cleanup of everything that they leave behind. */

import assert from "node:assert/strict";
import {
  createClient,
  type RealtimeChannel,
  type RealtimeChannelOptions,
  type SupabaseClient,
  type SupabaseClientOptions,
} from "@supabase/supabase-js";
import { eventually } from "./local_stack.ts";

type Timer = ReturnType<typeof setTimeout>;

/** The argument of a channel's `broadcast` callback. */
export interface Received {
  type: string;
  event: string;
  payload: unknown;
  meta?: { id?: string };
}

/** A subscribed channel and what it received. */
export interface Listener {
  channel: RealtimeChannel;
  received: Received[];
  /** The arguments of the subscribe callback: the status, and the error's message if there is one. */
  statuses: string[];
  /** The messages of the `system` events. */
  system: string[];
}

/** Creates clients. On dispose, ends them and clears their timers. */
export class SupabaseClients implements AsyncDisposable {
  readonly #url: string;
  readonly #clients: SupabaseClient[] = [];
  readonly #timers = new Set<Timer>();
  readonly #setTimeout = globalThis.setTimeout;

  /** `url`: the URL for `createClient`. */
  constructor(url: string) {
    this.#url = url;
    // realtime-js does not clear the timers of a `send` without `ack` and of each `disconnect`: ten seconds each.
    const timers = this.#timers;
    globalThis.setTimeout = new Proxy(this.#setTimeout, {
      apply(target, self, args): Timer {
        const timer: Timer = Reflect.apply(target, self, args);
        if (/@supabase[/+](phoenix|realtime-js)/.test(new Error().stack ?? "")) timers.add(timer);
        return timer;
      },
    });
  }

  client(key: string, options: SupabaseClientOptions<"public"> = {}): SupabaseClient {
    const client = createClient(this.#url, key, {
      ...options,
      ...(options.accessToken ? {} : { auth: { persistSession: false, autoRefreshToken: false } }),
      global: { fetch: readWhole },
      realtime: { reconnectAfterMs: () => 20, ...options.realtime },
    });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map(({ realtime }) => realtime.disconnect()));
    globalThis.setTimeout = this.#setTimeout;
    this.#timers.forEach((timer) => clearTimeout(timer));
  }
}

/** `httpSend` does not read the body of a successful answer, which leaks it. So read it here. */
async function readWhole(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  const body = await response.arrayBuffer();
  return new Response(body.byteLength === 0 ? null : body, response);
}

/** Subscribes without waiting. */
export function subscribe(
  client: SupabaseClient,
  topic: string,
  config: RealtimeChannelOptions["config"] = {},
): Listener {
  const channel = client.channel(topic, { config });
  const listener: Listener = { channel, received: [], statuses: [], system: [] };
  channel
    .on(
      "broadcast",
      { event: "*" },
      (message) => listener.received.push({ ...message, payload: message.payload }),
    )
    .on("system", {}, ({ message }) => listener.system.push(message))
    .subscribe((status, error) => {
      listener.statuses.push(error === undefined ? status : `${status}: ${error.message}`);
    });
  return listener;
}

/** Subscribes, and waits until that has succeeded. Fails at once if it is refused. */
export async function join(
  client: SupabaseClient,
  topic: string,
  config: RealtimeChannelOptions["config"] = {},
): Promise<Listener> {
  const listener = subscribe(client, topic, config);
  const [first] = await eventually(
    `a subscription to ${topic}`,
    () => listener.statuses.length > 0 && listener.statuses,
  );
  assert.equal(first, "SUBSCRIBED");
  return listener;
}

/** Waits until a listener has received `count` broadcasts, and returns their payloads. */
export async function payloads({ received, channel }: Listener, count: number): Promise<unknown[]> {
  await eventually(`${count} broadcasts on ${channel.topic}`, () => received.length >= count);
  return received.map(({ payload }) => payload);
}

/** Relays over Supabase Realtime for tests, with the real supabase-js. */

import * as supabaseJs from "@supabase/supabase-js";
import type { Relay, RelayListener, RelayMessage } from "../../supabase/functions/_shared/ports.ts";
import { jsonLog } from "../../supabase/functions/_shared/platform/system.ts";
import {
  createRealtimeRelay,
  type RealtimeRelayOptions,
} from "../../supabase/functions/_shared/platform/realtime_relay.ts";
import type { TestRealtime } from "./realtime_server.ts";
import { scaledClock } from "./scaled_clock.ts";

/** Twenty seconds pass in one. */
export const clock = scaledClock(20);

export interface RelayUnderTest extends AsyncDisposable {
  relay: Relay;
  /** What was logged, as the lines that an operator would see. */
  lines: string[];
  loads: number;
}

export function openRelay(
  options: Pick<RealtimeRelayOptions, "supabaseUrl" | "secretKey"> & Partial<RealtimeRelayOptions>,
): RelayUnderTest {
  const lines: string[] = [];
  const log = jsonLog({ write: (line) => lines.push(line) });
  const opened = { lines, loads: 0 };
  const load = () => {
    opened.loads++;
    return Promise.resolve(supabaseJs);
  };
  const relay = createRealtimeRelay({ clock, log, load, ...options });
  return Object.assign(opened, { relay, [Symbol.asyncDispose]: () => relay.close() });
}

/** With time to answer even where many tests run at once. */
export function openFor(server: TestRealtime, options: Partial<RealtimeRelayOptions> = {}): RelayUnderTest {
  const { url: supabaseUrl, keys: { secretKey } } = server;
  return openRelay({ supabaseUrl, secretKey, publishTimeoutMs: 100_000, joinTimeoutMs: 100_000, ...options });
}

export function listener(): RelayListener & { heard: RelayMessage[]; counts: { gaps: number } } {
  const heard: RelayMessage[] = [];
  const counts = { gaps: 0 };
  return {
    heard,
    counts,
    onMessage: (message: RelayMessage) => void heard.push(message),
    onGap: () => void counts.gaps++,
  };
}

/** The nth of many. */
export const message = (n: number): RelayMessage => ({ event: "e", payload: { n } });
/** How many WebSockets were asked for. */
export const websockets = ({ requests }: TestRealtime): number =>
  requests.filter((request) => request === "GET /realtime/v1/websocket").length;

/** A server that lets everybody join, takes every message, and then does as told. */
export function openStrangeServer(
  afterJoin: (socket: WebSocket) => void,
): AsyncDisposable & { supabaseUrl: string } {
  const sockets = new Set<WebSocket>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (request.method === "POST") return new Response(null, { status: 202 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    sockets.add(socket);
    socket.onclose = () => sockets.delete(socket);
    socket.onmessage = ({ data }) => {
      const [joinRef, ref, topic, event] = JSON.parse(data);
      if (event !== "phx_join") return;
      const reply = { status: "ok", response: { postgres_changes: [] } };
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", reply]));
      afterJoin(socket);
    };
    return response;
  });
  return {
    supabaseUrl: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.close();
      await server.shutdown();
    },
  };
}

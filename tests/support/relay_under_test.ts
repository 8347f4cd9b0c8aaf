/** Relays over Supabase Realtime for tests, with the real supabase-js. */

import * as supabaseJs from "@supabase/supabase-js";
import type { RealtimeOptions } from "../../local/realtime/settings.ts";
import type { Relay, RelayPressure } from "../../supabase/functions/_shared/ports/relay.ts";
import { jsonLog } from "../../supabase/functions/_shared/platform/system.ts";
import {
  createRealtimeRelay,
  type RealtimeRelayOptions,
} from "../../supabase/functions/_shared/platform/realtime_relay.ts";
import { joined, openTestRealtime, type TestRealtime } from "./realtime_server.ts";
import { listener, type TestListener } from "./relay_listener.ts";
import { scaledClock } from "./scaled_clock.ts";

/** Runs twenty times as fast as real time. */
export const clock = scaledClock(20);

export interface RelayUnderTest extends AsyncDisposable {
  relay: Relay;
  /** The log lines, as an operator would see them. */
  lines: string[];
  loads: number;
  /** Every pressure that it reported for Realtime's message rate. */
  pressures: RelayPressure[];
}

export function openRelay(
  options: Pick<RealtimeRelayOptions, "supabaseUrl" | "secretKey"> & Partial<RealtimeRelayOptions>,
): RelayUnderTest {
  const lines: string[] = [];
  const log = jsonLog({ write: (line) => lines.push(line) });
  const pressures: RelayPressure[] = [];
  const onPressure = (pressure: RelayPressure): void => void pressures.push(pressure);
  const opened = { lines, pressures, loads: 0 };
  const load = () => {
    opened.loads++;
    return Promise.resolve(supabaseJs);
  };
  const relay = createRealtimeRelay({ clock, log, load, onPressure, ...options });
  return Object.assign(opened, { relay, [Symbol.asyncDispose]: () => relay.close() });
}

/** With long timeouts, for machines that run many tests at once. */
export function openFor(server: TestRealtime, options: Partial<RealtimeRelayOptions> = {}): RelayUnderTest {
  const { url: supabaseUrl, keys: { secretKey } } = server;
  return openRelay({ supabaseUrl, secretKey, publishTimeoutMs: 100_000, joinTimeoutMs: 100_000, ...options });
}

/** A relay with its own Realtime, and a listener on topic `t`. */
export interface ListeningRelay extends AsyncDisposable {
  server: TestRealtime;
  tested: RelayUnderTest;
  heard: TestListener;
}

/** Resolves when the topic is joined. */
export async function openListening(options: Partial<RealtimeOptions> = {}): Promise<ListeningRelay> {
  await using opening = new AsyncDisposableStack();
  const server = opening.use(await openTestRealtime(options));
  const tested = opening.use(openFor(server));
  const heard = listener();
  tested.relay.subscribe("t", heard);
  await joined(tested.relay);
  const opened = opening.move();
  return { server, tested, heard, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** How many WebSocket upgrades were requested. */
export const websockets = ({ requests }: TestRealtime): number =>
  requests.filter((request) => request === "GET /realtime/v1/websocket").length;

/** Realtime behind the gateway, on a loopback port of its own. */

import { createRealtime, type Realtime } from "./realtime.ts";
import type { RealtimeOptions } from "./settings.ts";

export interface RealtimeServer {
  port: number;
  realtime: Realtime;
  stop(): Promise<void>;
}

export function openRealtime(options: RealtimeOptions): RealtimeServer {
  const realtime = createRealtime(options);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, realtime.handle);
  return {
    port: server.addr.port,
    realtime,
    stop: async () => {
      await realtime.stop();
      await server.shutdown();
    },
  };
}

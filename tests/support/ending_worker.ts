/**
 * A process that holds WebSockets and drains them on shutdown. tests/contract/worker_ending_test.ts sends it signals.
 * Argument: the outcome of its drain, `closes`, `rejects` or `hangs`.
 */

import { onWorkerEnding } from "../../supabase/functions/_shared/platform/edge_lifetime.ts";
import { jsonLog } from "../../supabase/functions/_shared/platform/system.ts";
import { wrapSocket } from "../../supabase/functions/_shared/platform/web_socket.ts";

const [how] = Deno.args;
const log = jsonLog();
const sockets = new Set<WebSocket>();

onWorkerEnding((reason) => {
  log.write({ level: "info", event: "draining", reason });
  if (how === "rejects") return Promise.reject(new Error("cannot drain"));
  if (how === "hangs") return new Promise(() => {});
  for (const socket of sockets) wrapSocket(socket).close(1012, reason);
  return Promise.resolve();
});

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => log.write({ level: "info", event: "listening", port }),
}, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  sockets.add(socket);
  return response;
});

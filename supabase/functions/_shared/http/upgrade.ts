/** From an HTTP request to a connection: the checks that can still be answered by a status, then the switch. */

import { toAgentError } from "../errors.ts";
import type { Socket } from "../ports.ts";
import { type ConnectRequest, parseConnectRequest, SUBPROTOCOL } from "../protocol/connect_request.ts";
import type { AgentServer } from "../session/agent_server.ts";
import { expectedWebSocket, problem } from "./problems.ts";

export interface UpgradeOptions {
  /** The subprotocol to name in the answer. */
  protocol?: string;
  /** Seconds without a pong after which the runtime closes; it pings twice as often. */
  idleTimeout: number;
}

/** What the runtime makes of an upgrade: the socket, how to send on it, and the answer. */
export interface Upgraded {
  socket: WebSocket;
  port: Socket;
  response: Response;
}

export interface UpgradeDeps {
  server: AgentServer;
  /** `Deno.upgradeWebSocket`, in effect. Throws where the request's headers are no handshake. */
  upgradeWebSocket(request: Request, options: UpgradeOptions): Upgraded;
  /** Origins that a browser may come from; empty for any. */
  allowedOrigins: readonly string[];
  /** How often a peer is pinged; 0 for never. */
  heartbeatIntervalMs: number;
}

export function upgrade(request: Request, url: URL, deps: UpgradeDeps): Response {
  // Real clients send `WebSocket` as well.
  if (request.method !== "GET" || request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return expectedWebSocket();
  }
  let asked: ConnectRequest;
  try {
    asked = parseConnectRequest(url, request.headers);
  } catch (thrown) {
    const { code, message } = toAgentError(thrown);
    return problem({ status: 400, code, detail: message });
  }
  const { server, allowedOrigins, heartbeatIntervalMs, upgradeWebSocket } = deps;
  if (asked.origin !== undefined && allowedOrigins.length > 0 && !allowedOrigins.includes(asked.origin)) {
    return problem({
      status: 403,
      code: "forbidden",
      detail: "Cannot connect: this origin is not in ALLOWED_ORIGINS",
    });
  }
  if (server.isDraining) {
    const detail = "Cannot connect: this worker is being replaced";
    return problem({ status: 503, code: "shutting_down", detail }, { "retry-after": "1" });
  }
  let upgraded: Upgraded;
  try {
    upgraded = upgradeWebSocket(request, {
      idleTimeout: Math.ceil(2 * heartbeatIntervalMs / 1000),
      ...(asked.offersSubprotocol && { protocol: SUBPROTOCOL }),
    });
  } catch {
    const detail = "Cannot upgrade: the headers are not those of a WebSocket handshake";
    return problem({ status: 400, code: "invalid_frame", detail });
  }
  bind(upgraded, asked, server);
  return upgraded.response;
}

/** Deno may fire `close` twice, and with code 0; what it says in `error` it says in `close` again. */
function bind({ socket, port }: Upgraded, asked: ConnectRequest, server: AgentServer): void {
  const connection = server.connect(port, asked);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => connection.opened();
  socket.onmessage = ({ data }) => connection.received(data);
  socket.onclose = ({ code }) => connection.lost(code);
}

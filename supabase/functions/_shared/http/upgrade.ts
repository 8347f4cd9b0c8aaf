/** From an HTTP request to a WebSocket: the checks that can still be answered by a status, then the switch. */

import { toAgentError } from "../errors.ts";
import type { Socket } from "../ports/runtime.ts";
import {
  type ConnectRequest,
  offeredSubprotocols,
  parseConnectRequest,
  SUBPROTOCOL,
  SUBPROTOCOL_HEADER,
} from "../protocol/connect_request.ts";
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
  /** `Deno.upgradeWebSocket`, in effect. Throws where the request's headers are no handshake. */
  upgradeWebSocket(request: Request, options: UpgradeOptions): Upgraded;
  /** Whether the deployment has an agent of that name. */
  isAgent(name: string): boolean;
  /** Origins that a browser may come from; empty for any. */
  allowedOrigins: readonly string[];
  /** Whether the worker accepts no more connections. */
  isDraining(): boolean;
}

/** Gets the events of a socket. */
export interface SocketOwner {
  opened(): void;
  received(data: string | ArrayBuffer): void;
  lost(code: number): void;
}

/** What a request asks for, or the status that refuses it. */
export function readUpgrade(request: Request, url: URL, deps: UpgradeDeps): ConnectRequest | Response {
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
  if (asked.agent !== undefined && !deps.isAgent(asked.agent)) {
    const detail = 'Cannot connect: "agent" must be the name of an agent of this deployment';
    return problem({ status: 400, code: "invalid_frame", detail });
  }
  const { allowedOrigins } = deps;
  if (asked.origin !== undefined && allowedOrigins.length > 0 && !allowedOrigins.includes(asked.origin)) {
    const detail = "Cannot connect: this origin is not in ALLOWED_ORIGINS";
    return problem({ status: 403, code: "forbidden", detail });
  }
  if (deps.isDraining()) {
    const detail = "Cannot connect: this worker is being replaced";
    return problem({ status: 503, code: "shutting_down", detail }, { "retry-after": "1" });
  }
  return asked;
}

export interface SwitchOptions {
  deps: UpgradeDeps;
  /** Selected if it was offered. Default: {@linkcode SUBPROTOCOL}. */
  subprotocol?: string;
  /** How often a peer is pinged; 0 for never. */
  pingIntervalMs: number;
  /** Makes the owner of the socket. Called only if there is one. */
  own(port: Socket): SocketOwner;
}

/** Makes the switch. Deno may fire `close` twice, and with code 0; what it says in `error` it says in `close` again. */
export function switchToWebSocket(request: Request, options: SwitchOptions): Response {
  const { deps, subprotocol = SUBPROTOCOL, pingIntervalMs, own } = options;
  let upgraded: Upgraded;
  try {
    respellSubprotocols(request);
    upgraded = deps.upgradeWebSocket(request, {
      idleTimeout: Math.ceil(2 * pingIntervalMs / 1000),
      ...(offeredSubprotocols(request.headers).includes(subprotocol) && { protocol: subprotocol }),
    });
  } catch {
    const detail = "Cannot upgrade: the headers are not those of a WebSocket handshake";
    return problem({ status: 400, code: "invalid_frame", detail });
  }
  const { socket, port, response } = upgraded;
  const owner = own(port);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => owner.opened();
  socket.onmessage = ({ data }) => owner.received(data);
  socket.onclose = ({ code }) => owner.lost(code);
  return response;
}

/**
 * Writes the list of subprotocols as `Deno.upgradeWebSocket` reads it, which splits it at ", " and at nothing else (2.1.4 and
 * 2.9.6, and the edge runtime has the same file). Node's `ws` writes it without spaces.
 */
function respellSubprotocols(request: Request): void {
  const spelled = offeredSubprotocols(request.headers).join(", ");
  if (spelled === (request.headers.get(SUBPROTOCOL_HEADER) ?? "")) return;
  // A request's own headers cannot be changed.
  const headers = new Headers(request.headers);
  headers.set(SUBPROTOCOL_HEADER, spelled);
  Object.defineProperty(request, "headers", { value: headers });
}

/**
 * The only port of the stack. It reads the head of a request, asks the router for the destination, and joins the two
 * connections. It does not interpret the bytes after the head.
 */

import {
  type ByteSource,
  encodeHead,
  type Head,
  HeadError,
  headerValue,
  readHead,
  withHeaders,
} from "./http_head.ts";
import { close, linger, relay, writeAll } from "./relay.ts";

/** How long a client may take to send the head of its request. */
const HEAD_TIMEOUT_MS = 10_000;
const CONNECT_ATTEMPTS = 3;
const ACCEPT_PAUSE_MS = 50;
/**
 * The last bytes of the servers behind the gateway may still be on the way. If a close frame is lost, the client sees
 * 1006.
 */
const FLUSH_MS = 500;

/** The gateway's own answer, in the platform's format. */
export interface Refusal {
  status: number;
  /** The platform's code, such as `WORKER_ERROR`. */
  code: string;
  message: string;
}

/** A loopback server that accepts this request. */
export interface Upstream {
  kind: "upstream";
  port: number;
  /** The path and query that the server should see. */
  target: string;
  /** Whether it accepts WebSocket upgrades. */
  upgrades: boolean;
  /** When it aborts, both connections are cut without a close frame. */
  cutSignal?: AbortSignal;
  /** Called with the first byte of the answer. */
  onAnswer?(): void;
  /** The answer for the client if the server went away without one. */
  onSilence?(): Promise<Refusal>;
  /** Called with the head of the answer. Resolves when the answer may be sent; false means that it must be dropped. */
  releaseAnswer?(): Promise<boolean>;
}

/** `hang_up`: the connection is closed without an answer. */
export type Destination = Upstream | ({ kind: "refusal" } & Refusal) | { kind: "hang_up" };

/** The destination of a request for `path` (with its query). */
export type Router = (path: string) => Promise<Destination>;

export interface GatewayOptions {
  hostname: string;
  /** 0 for a free port. */
  port: number;
  router: Router;
  /** Called for a bug in the gateway, which has cost one connection. */
  onError(error: unknown): void;
}

export interface Gateway {
  port: number;
  /**
   * Accepts no more connections. Open connections have {@linkcode FLUSH_MS} to end by themselves. Resolves when all
   * have ended.
   */
  stop(): Promise<void>;
}

/** Listens at once. Throws `Deno.errors.AddrInUse`, and the other errors of `Deno.listen`. */
export function openGateway({ hostname, port, router, onError }: GatewayOptions): Gateway {
  const listener = Deno.listen({ hostname, port, transport: "tcp" });
  const clients = new Set<Deno.Conn>();
  const serving = new Set<Promise<void>>();
  const address = listener.addr;
  let isOpen = true;
  const accepting = (async () => {
    while (isOpen) {
      const client = await listener.accept().catch(() => undefined);
      if (client === undefined) {
        // The listener is closed, or the process is out of file descriptors until other connections close.
        if (isOpen) await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE_MS));
        continue;
      }
      clients.add(client);
      const served = serve(client, router, address.port).catch(onError).finally(() => {
        close(client);
        clients.delete(client);
        serving.delete(served);
      });
      serving.add(served);
    }
  })();
  return {
    port: address.port,
    stop: async () => {
      if (isOpen) listener.close();
      isOpen = false;
      await accepting;
      const timer = setTimeout(() => clients.forEach(close), FLUSH_MS);
      await Promise.all(serving);
      clearTimeout(timer);
    },
  };
}

async function serve(client: Deno.TcpConn, router: Router, gatewayPort: number): Promise<void> {
  const request = await readRequest(client);
  if (request === undefined) return;
  client.setNoDelay();
  for (let attempt = 1;; attempt++) {
    const destination = await router(request.target);
    if (destination.kind === "hang_up") return;
    if (destination.kind === "refusal") return await refuse(client, destination);
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: destination.port });
    } catch {
      destination.onAnswer?.();
      // The worker died just now. Nothing was sent, so another worker can handle the request.
      if (attempt < CONNECT_ATTEMPTS) continue;
      return await refuse(client, WORKER_GONE);
    }
    return await join(client, server, { request, destination, gatewayPort });
  }
}

const WORKER_GONE: Refusal = {
  status: 502,
  code: "UPSTREAM_ERROR",
  message: "The server behind this path cannot be reached (please check logs)",
};

interface Request {
  head: Head;
  method: string;
  /** Path and query, as the client sent them. */
  target: string;
  /** `HTTP/1.1`, or `HTTP/1.0`. */
  version: string;
}

/** The client's request; undefined if it was refused, or if there is none. */
async function readRequest(client: Deno.TcpConn): Promise<Request | undefined> {
  const timer = setTimeout(() => close(client), HEAD_TIMEOUT_MS);
  try {
    const head = await readHead(client);
    const [method = "", target = "", version = ""] = head.startLine.split(" ");
    if (!/^HTTP\/1\.[01]$/.test(version) || !target.startsWith("/")) {
      throw new HeadError("malformed", "the request line is not `METHOD /path HTTP/1.1`");
    }
    return { head, method, target, version };
  } catch (error) {
    if (error instanceof HeadError && error.kind === "too_large") {
      await refuse(client, { status: 431, code: "REQUEST_HEADER_FIELDS_TOO_LARGE", message: error.message });
    } else if (error instanceof HeadError && error.kind === "malformed") {
      await refuse(client, { status: 400, code: "BAD_REQUEST", message: error.message });
    }
    // Otherwise the client has gone, or was too slow.
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

interface Joining {
  request: Request;
  destination: Upstream;
  gatewayPort: number;
}

async function join(client: Deno.TcpConn, server: Deno.TcpConn, joining: Joining): Promise<void> {
  const { request, destination, gatewayPort } = joining;
  server.setNoDelay();
  const upgrading = destination.upgrades && headerValue(request.head, "upgrade") !== "";
  const head = forwardedHead(request, { client, destination, gatewayPort, upgrading });
  const cutOff = (): void => [client, server].forEach(close);
  destination.cutSignal?.addEventListener("abort", cutOff);
  await writeAll(server, encodeHead(head));
  await relay(client, server, {
    readAnswer: async (source) => {
      const answer = await readAnswer(source);
      destination.onAnswer?.();
      if (await destination.releaseAnswer?.() === false) cutOff();
      return answer;
    },
    onSilence: async () => {
      destination.onAnswer?.();
      return encodeRefusal(await destination.onSilence?.() ?? WORKER_GONE);
    },
  });
  destination.cutSignal?.removeEventListener("abort", cutOff);
}

interface Forwarding {
  client: Deno.TcpConn;
  destination: Upstream;
  gatewayPort: number;
  upgrading: boolean;
}

function forwardedHead(
  { head, method, version }: Request,
  { client, destination, gatewayPort, upgrading }: Forwarding,
): Head {
  const { hostname } = client.remoteAddr;
  const known = headerValue(head, "x-forwarded-for");
  // One request per connection: the next one may be for another worker. An upgrade keeps the client's Connection
  // header.
  const words = upgrading ? [headerValue(head, "connection"), "close"] : ["close"];
  const dropped = ["connection", "keep-alive", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"];
  return {
    // Like Cloudflare in front of the platform: what the client claims about its own address is overwritten, or
    // appended to.
    ...withHeaders(head, [
      ...dropped,
      "x-forwarded-proto",
      "cf-connecting-ip",
      ...(upgrading ? [] : ["upgrade"]),
    ], [
      ["CF-Connecting-IP", hostname],
      ["Connection", words.filter((word) => word !== "").join(", ")],
      ["X-Forwarded-For", known === "" ? hostname : `${known}, ${hostname}`],
      ["X-Forwarded-Host", headerValue(head, "host")],
      ["X-Forwarded-Port", String(gatewayPort)],
      ["X-Forwarded-Proto", "http"],
    ]),
    startLine: `${method} ${destination.target} ${version}`,
  };
}

/** The head of the answer, with correct connection headers: either the connection closes, or it is a WebSocket. */
async function readAnswer(server: ByteSource): Promise<Uint8Array> {
  const head = await readHead(server);
  if (!head.startLine.startsWith("HTTP/1.1 101")) {
    // Not every Deno version sends this header. Without it, a client would send its next request on a closing
    // connection.
    return encodeHead(withHeaders(head, ["connection", "keep-alive"], [["Connection", "close"]]));
  }
  const headers = head.headers.filter(([name, value]) =>
    name.toLowerCase() !== "connection" || value.toLowerCase() !== "close"
  );
  return encodeHead({ ...head, headers });
}

async function refuse(client: Deno.Conn, refusal: Refusal): Promise<void> {
  if (await writeAll(client, encodeRefusal(refusal))) await linger(client);
}

function encodeRefusal({ status, code, message }: Refusal): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify({ code, message }));
  return encodeHead({
    startLine: `HTTP/1.1 ${status} ${code}`,
    headers: [
      ["Content-Type", "application/json"],
      ["Content-Length", String(body.length)],
      ["Access-Control-Allow-Origin", "*"],
      ["Connection", "close"],
    ],
    rest: body,
  });
}

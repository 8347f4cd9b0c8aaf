/** The local Realtime: broadcast channels in the protocol of supabase-js, over WebSocket and HTTP. */

import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type { Connection, ConnectionStats } from "./connection.ts";
import { openSocket } from "./handshake.ts";
import { answerHttp } from "./http_api.ts";
import { Hub } from "./hub.ts";
import type { Context } from "./join.ts";
import { serviceRoleOnly, withRelayClosed } from "./policy.ts";
import { RateMeter } from "./rate_meter.ts";
import { DEFAULT_DELAYS, DEFAULT_LIMITS, type RealtimeOptions } from "./settings.ts";
import { Tokens } from "./tokens.ts";

export const REALTIME_PATH = "/realtime/v1";

/** "Service restart": the real server's close code for a graceful shutdown. */
const SERVICE_RESTART = 1012;
/** How long a client may take to answer a close. */
const STOP_GRACE_MS = 1000;

export interface RealtimeStats {
  /** Whether connections are refused. */
  paused: boolean;
  /** Broadcasts accepted since the start, with or without listeners. */
  published: number;
  /** Posts refused and channels closed since the start, because there were too many messages. */
  refused: number;
  closed: number;
  connections: ConnectionStats[];
}

/** Lets a test simulate an outage. */
export interface RealtimeControl {
  /** Drops every open connection. */
  cut(): void;
  /** Refuses new requests and connections with 503 until `resume`. Open connections stay. */
  pause(): void;
  resume(): void;
  /** Puts the project over its message limit: channels are closed, and posts are refused with 429. */
  overload(): void;
  /** Ends `overload`. */
  relieve(): void;
  stats(): RealtimeStats;
}

export interface Realtime extends RealtimeControl {
  /** Answers a request whose path begins with `/realtime/v1/`. */
  handle(request: Request): Promise<Response>;
  /** Aborts at the next cut. Relayed connections are then cut off, so that no client gets a close frame. */
  readonly cutSignal: AbortSignal;
  /** Closes all connections and timers. Resolves when every connection has ended, after one second at most. */
  stop(): Promise<void>;
}

export function createRealtime(options: RealtimeOptions): Realtime {
  const clock = options.clock ?? systemClock();
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { keys, publicKeys = () => Promise.resolve([]), policy = serviceRoleOnly, privateOnly = false } =
    options;
  const { isRelayClosed = true } = options;
  const context: Context = {
    tokens: new Tokens({ keys, publicKeys, clock }),
    hub: new Hub({ clock, eventsPerSecond: limits.eventsPerSecond }),
    joins: new RateMeter(clock, { spans: 10, spanMs: 100 }),
    policy: isRelayClosed ? withRelayClosed(policy) : policy,
    privateOnly,
    limits,
    delays: { ...DEFAULT_DELAYS, ...options.delays },
    clock,
    onError: (error) => options.onError?.(error),
  };
  const connections = new Set<Connection>();
  const stopped = new AbortController();
  let paused = false;
  let nextCut = new AbortController();

  function cut(): void {
    const cutting = nextCut;
    nextCut = new AbortController();
    cutting.abort();
    for (const connection of connections) connection.close(SERVICE_RESTART);
  }

  return {
    async handle(request): Promise<Response> {
      if (request.method === "OPTIONS") return withCors(new Response(null, { status: 204 }), request);
      if (paused || stopped.signal.aborted) {
        return withCors(Response.json({ message: "Realtime is not available" }, { status: 503 }), request);
      }
      const path = new URL(request.url).pathname.slice(REALTIME_PATH.length);
      if (path === "/websocket") {
        return await openSocket(request, { context, connections, stopped: stopped.signal });
      }
      const response = await answerHttp(request, path, context) ??
        Response.json({ message: "Not Found" }, { status: 404 });
      return withCors(response, request);
    },
    cut,
    pause: () => paused = true,
    resume: () => paused = false,
    overload: () => context.hub.overload(true),
    relieve: () => context.hub.overload(false),
    stats: () => ({
      paused,
      ...context.hub.counts,
      connections: [...connections].map((connection) => connection.stats()),
    }),
    get cutSignal(): AbortSignal {
      return nextCut.signal;
    },
    async stop(): Promise<void> {
      stopped.abort();
      const open = [...connections];
      cut();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise((resolve) => timer = setTimeout(resolve, STOP_GRACE_MS));
      await Promise.race([late, Promise.all(open.map(({ ended }) => ended))]);
      clearTimeout(timer);
    },
  };
}

/** The CORS headers that the platform's gateway sends to browsers. */
function withCors(response: Response, request: Request): Response {
  response.headers.set("access-control-allow-origin", "*");
  if (request.method === "OPTIONS") {
    response.headers.set("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS");
    const asked = request.headers.get("access-control-request-headers");
    if (asked !== null) response.headers.set("access-control-allow-headers", asked);
  }
  return response;
}

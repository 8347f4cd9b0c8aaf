/** What `agent_websocket` answers: the upgrade, `/health`, `/metrics`, `/sessions/<id>/wake`, and to everything else that it expected better. */

import { toAgentError } from "../errors.ts";
import { addressKey, type PeerInfo } from "../guard/address.ts";
import type { MemoryBudget } from "../guard/memory_budget.ts";
import type { Metrics } from "../metrics.ts";
import type { RelayStatus } from "../ports/relay.ts";
import type { Clock } from "../ports/runtime.ts";
import { AI_SDK_PATH, bearerOf } from "../protocol/connect_request.ts";
import { VERSION } from "../version.ts";
import { type AiSdkDeps, connectAiSdk } from "./ai_sdk.ts";
import { expectedWebSocket, problem } from "./problems.ts";
import type { Handler } from "./on_first_request.ts";
import type { AgentServer } from "../session/agent_server.ts";
import { readUpgrade, switchToWebSocket } from "./upgrade.ts";
import { watch, type WatchDeps } from "./watch.ts";

const WAKE_PATH = /^\/sessions\/([0-9a-f-]{36})\/wake$/;

export interface RouteDeps extends WatchDeps, AiSdkDeps {
  server: AgentServer;
  clock: Clock;
  /** How often a peer is pinged; 0 for never. */
  heartbeatIntervalMs: number;
  metrics: Metrics;
  memory: MemoryBudget;
  /** Where watchers connect, after the function's own path. */
  activityPath: string;
  countWatchers(): number;
  /** Which store is in use, and how the relay stands: for `/health`. */
  store: { readonly name: string };
  relay: { readonly status: RelayStatus | "off"; readonly waiting: number };
}

export function createRoutes(deps: RouteDeps): Handler {
  const startedAt = deps.clock.now();
  return async (request, peer) => {
    const url = new URL(request.url);
    // The platform calls with `/agent_websocket/…`, a gateway in front of it perhaps with more before that.
    const [, path = ""] = /^(?:.*?\/agent_websocket)?(\/.*)?$/.exec(url.pathname) ?? [];
    if (path === "" || path === "/") return connect(request, { url, peer }, deps);
    if (path === AI_SDK_PATH) return connectAiSdk(request, { url, peer }, deps);
    if (path === deps.activityPath) return watch(request, { url, peer }, deps);
    if (request.method === "GET" && path === "/health") return health(deps, startedAt);
    if (request.method === "GET" && path === "/metrics") return await metrics(request, deps, startedAt);
    const [, sessionId] = WAKE_PATH.exec(path) ?? [];
    if (request.method === "POST" && sessionId !== undefined) return await wake(request, sessionId, deps);
    return expectedWebSocket();
  };
}

function connect(
  request: Request,
  { url, peer }: { url: URL; peer: PeerInfo | undefined },
  deps: RouteDeps,
): Response {
  const asked = readUpgrade(request, url, deps);
  if (asked instanceof Response) return asked;
  const address = addressKey(request.headers, peer, deps.trustedProxies);
  return switchToWebSocket(request, {
    deps,
    pingIntervalMs: deps.heartbeatIntervalMs,
    own: (port) => deps.server.connect(port, { ...asked, address }),
  });
}

function health({ server, clock, store, relay, countWatchers }: RouteDeps, startedAt: number): Response {
  const { sessions, connections, runningTurns } = server.count();
  return Response.json({
    status: server.isDraining ? "draining" : "ok",
    version: VERSION,
    store: store.name,
    relay: relay.status,
    sessions,
    connections,
    running_turns: runningTurns,
    watchers: countWatchers(),
    worker_age_ms: clock.now() - startedAt,
  });
}

/** Undefined if the request has a secret key. */
async function refuseWithoutKey(
  { headers }: Request,
  { isSecretKey }: RouteDeps,
  action: string,
): Promise<Response | undefined> {
  const candidate = headers.get("apikey") ?? bearerOf(headers);
  if (candidate !== undefined && await isSecretKey(candidate)) return undefined;
  const detail = `Cannot ${action}: send a secret key as apikey or as Bearer`;
  return problem({ status: 401, code: "unauthorized", detail });
}

/** Opens a session whose turn can go on, though nobody is connected. */
async function wake(request: Request, sessionId: string, deps: RouteDeps): Promise<Response> {
  const refusal = await refuseWithoutKey(request, deps, "wake the session");
  if (refusal !== undefined) return refusal;
  const { server } = deps;
  try {
    if (!server.isDraining && await server.wake(sessionId)) return new Response(null, { status: 202 });
  } catch (thrown) {
    const { code, message } = toAgentError(thrown);
    return problem({ status: 503, code, detail: message });
  }
  if (server.isDraining) {
    const detail = "Cannot wake the session: this worker is being replaced";
    return problem({ status: 503, code: "shutting_down", detail });
  }
  const detail = "Cannot wake the session: there is none with this id";
  return problem({ status: 404, code: "unknown_session", detail });
}

async function metrics(request: Request, deps: RouteDeps, startedAt: number): Promise<Response> {
  const refusal = await refuseWithoutKey(request, deps, "show metrics");
  if (refusal !== undefined) return refusal;
  const { sessions, connections, runningTurns } = deps.server.count();
  const { memory } = deps;
  const text = deps.metrics.render([
    { name: "sessions", help: "Sessions in memory", value: sessions },
    { name: "connections", help: "Open connections", value: connections },
    { name: "turns_running", help: "Turns that are being answered", value: runningTurns },
    { name: "memory_kept_bytes", help: "Bytes kept for sessions and connections", value: memory.keptBytes },
    { name: "memory_limit_bytes", help: "How many may be kept; 0 for no limit", value: memory.limitBytes },
    { name: "relay_waiting", help: "Messages that wait for the relay", value: deps.relay.waiting },
    { name: "worker_age_seconds", help: "Age of this worker", value: (deps.clock.now() - startedAt) / 1000 },
  ]);
  return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
}

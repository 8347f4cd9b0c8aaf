/**
 * `agent_websocket`: the composition root. Here, and only here, the ports meet what stands behind them.
 *
 * Nothing happens on import but `Deno.serve`; the environment is read at the first request.
 */

import { type Config, ConfigError, parseConfig } from "../_shared/config.ts";
import { publishableKeyMatcher, secretKeyMatcher } from "../_shared/guard/keys.ts";
import { RateLimiter } from "../_shared/guard/rate_limiter.ts";
import { TokenBudget } from "../_shared/guard/token_budget.ts";
import { problem } from "../_shared/http/problems.ts";
import type { Upgraded } from "../_shared/http/upgrade.ts";
import { createRoutes } from "../_shared/http/routes.ts";
import { Metrics } from "../_shared/metrics.ts";
import { createOpenRouter } from "../_shared/openrouter/open_router.ts";
import { ReadPacer } from "../_shared/openrouter/read_pacer.ts";
import { onWorkerEnding, workerLifetime } from "../_shared/platform/edge_lifetime.ts";
import { createSupabaseVerifier } from "../_shared/platform/supabase_auth.ts";
import { jsonLog, systemClock, systemIds } from "../_shared/platform/system.ts";
import { wrapSocket } from "../_shared/platform/web_socket.ts";
import type { Log } from "../_shared/ports.ts";
import { AgentServer } from "../_shared/session/agent_server.ts";
import { MemoryStore } from "../_shared/session/memory_store.ts";

type Handler = (request: Request) => Response | Promise<Response>;

let handler: Handler | undefined;

Deno.serve((request) => (handler ??= start())(request));

function start(): Handler {
  const log = jsonLog();
  try {
    return compose(parseConfig(Deno.env.toObject()), log);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.write({ level: "error", event: "config_invalid", problems: error.problems });
    return () =>
      problem({
        status: 503,
        code: "internal",
        detail: "Cannot start: see the function's log for its configuration",
      });
  }
}

function compose(config: Config, log: Log): Handler {
  const clock = systemClock();
  const ids = systemIds();
  const metrics = new Metrics();
  const lifetime = workerLifetime();
  const store = new MemoryStore({ clock, maxEvents: config.MAX_EVENTS });
  const server = new AgentServer({
    identity: {
      mode: config.AUTH_MODE,
      verifier: createSupabaseVerifier({
        supabaseUrl: config.SUPABASE_URL ?? "",
        apiKey: config.publishableKeys[0] ?? "",
        clock,
      }),
      isPublishableKey: publishableKeyMatcher(config.publishableKeys),
    },
    registry: {
      store,
      session: {
        clock,
        ids,
        log,
        metrics,
        lifetime,
        eventLog: store,
        model: createOpenRouter({
          baseUrl: config.OPENROUTER_BASE_URL,
          apiKey: config.OPENROUTER_API_KEY,
          referer: config.OPENROUTER_REFERER,
          title: config.OPENROUTER_TITLE,
          maxRetries: config.MAX_RETRIES,
          firstTokenTimeoutMs: config.FIRST_TOKEN_TIMEOUT_MS,
          stallTimeoutMs: config.STALL_TIMEOUT_MS,
          clock,
          log,
          fetch,
          random: Math.random,
          pacer: new ReadPacer({ clock }),
        }),
        budget: new TokenBudget(clock, config.DAILY_TOKEN_BUDGET),
        settings: {
          systemPrompt: config.SYSTEM_PROMPT,
          models: config.models,
          allowedModels: config.allowedModels,
          temperature: config.TEMPERATURE,
          maxTokens: config.MAX_TOKENS,
          maxHistory: config.MAX_HISTORY,
          maxEvents: config.MAX_EVENTS,
          maxQueue: config.MAX_QUEUE,
          queuePolicy: config.QUEUE_POLICY,
        },
      },
      idleTimeoutMs: config.sessionTimeoutMs,
      sweepIntervalMs: config.CLEANUP_INTERVAL_MS,
      maxSessions: config.MAX_SESSIONS,
    },
    connection: {
      clock,
      log,
      metrics,
      rateLimiter: new RateLimiter(clock, {
        perMinute: config.RATE_LIMIT_PER_MINUTE,
        burst: config.RATE_LIMIT_BURST,
      }),
      maxMessageBytes: config.MAX_MESSAGE_BYTES,
      maxBufferedBytes: config.MAX_BUFFERED_BYTES,
    },
    isDurable: false,
    maxConnections: config.MAX_CONNECTIONS,
    maxConnectionsPerUser: config.MAX_CONNECTIONS_PER_USER,
    authTimeoutMs: config.AUTH_TIMEOUT_MS,
    tokenExpiryNoticeMs: config.TOKEN_EXPIRY_NOTICE_MS,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    limits: {
      max_message_bytes: config.MAX_MESSAGE_BYTES,
      rate_limit_per_minute: config.RATE_LIMIT_PER_MINUTE,
      max_queue: config.MAX_QUEUE,
      max_tokens: config.MAX_TOKENS,
      session_timeout_ms: config.sessionTimeoutMs,
    },
  });
  onWorkerEnding((reason) => server.drain(reason));
  return createRoutes({
    server,
    clock,
    metrics,
    store: "memory",
    relay: "none",
    allowedOrigins: config.ALLOWED_ORIGINS,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
    isSecretKey: secretKeyMatcher(config.secretKeys),
    upgradeWebSocket(request, options): Upgraded {
      const { socket, response } = Deno.upgradeWebSocket(request, options);
      return { socket, port: wrapSocket(socket), response };
    },
  });
}

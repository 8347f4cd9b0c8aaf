/**
 * `agent_websocket`: the composition root. Here, and only here, the ports meet what stands behind them.
 *
 * Nothing happens on import but `Deno.serve`; the environment is read at the first request.
 */

import { ActivityHub } from "../_shared/activity/activity_hub.ts";
import { AgentActivity } from "../_shared/activity/agent_activity.ts";
import { LoadMeter, type LoadReading, Rate } from "../_shared/activity/load_meter.ts";
import { RelayedActivity } from "../_shared/activity/relayed_activity.ts";
import { type Config, parseConfig } from "../_shared/config.ts";
import { publishableKeyMatcher, secretKeyMatcher } from "../_shared/guard/keys.ts";
import type { IdentityPolicy } from "../_shared/guard/identity.ts";
import { RateLimiter } from "../_shared/guard/rate_limiter.ts";
import { TokenBudget } from "../_shared/guard/token_budget.ts";
import { type Handler, onFirstRequest } from "../_shared/http/on_first_request.ts";
import type { Upgraded } from "../_shared/http/upgrade.ts";
import { createRoutes } from "../_shared/http/routes.ts";
import { Metrics } from "../_shared/metrics.ts";
import { createOpenRouter } from "../_shared/openrouter/open_router.ts";
import { BatchingRelay } from "../_shared/notify/batching_relay.ts";
import { InProcessRelay } from "../_shared/notify/in_process_relay.ts";
import { Inbox } from "../_shared/notify/inbox.ts";
import { SWITCHED_OFF } from "../_shared/notify/switched_off.ts";
import { ReadPacer } from "../_shared/openrouter/read_pacer.ts";
import { onWorkerEnding, workerLifetime } from "../_shared/platform/edge_lifetime.ts";
import { createRealtimeRelay } from "../_shared/platform/realtime_relay.ts";
import { createSupabaseVerifier } from "../_shared/platform/supabase_auth.ts";
import { jsonLog, systemClock, systemIds } from "../_shared/platform/system.ts";
import { wrapSocket } from "../_shared/platform/web_socket.ts";
import type { Clock, Log, Relay } from "../_shared/ports.ts";
import { EVERYONE_TOPIC, sessionTopic } from "../_shared/protocol/topics.ts";
import { AgentServer } from "../_shared/session/agent_server.ts";
import { MemoryStore } from "../_shared/session/memory_store.ts";

Deno.serve(onFirstRequest(() => compose(parseConfig(Deno.env.toObject()), jsonLog()), jsonLog));

function compose(config: Config, log: Log): Handler {
  const clock = systemClock();
  const ids = systemIds();
  const metrics = new Metrics();
  const lifetime = workerLifetime();
  const store = new MemoryStore({ clock, maxEvents: config.MAX_EVENTS });
  const relay = createRelay(config, { clock, log });
  const hub = new ActivityHub({
    clock,
    ids,
    log,
    metrics,
    maxBufferedBytes: config.MAX_BUFFERED_BYTES,
    maxMessageBytes: config.MAX_MESSAGE_BYTES,
    isPinged: config.ACTIVITY_HEARTBEAT_MS > 0,
  }, {
    path: config.ACTIVITY_PATH,
    heartbeatIntervalMs: config.ACTIVITY_HEARTBEAT_MS,
    clientTimeoutMs: config.ACTIVITY_TIMEOUT_MS,
    maxClients: config.MAX_CLIENTS,
  });
  const watched = new RelayedActivity({ hub, relay, clock, log, workerId: ids.uuid() });
  const activity = new AgentActivity(watched, clock);
  const identity: IdentityPolicy = {
    mode: config.AUTH_MODE,
    verifier: createSupabaseVerifier({
      supabaseUrl: config.SUPABASE_URL ?? "",
      apiKey: config.publishableKeys[0],
      clock,
    }),
    isPublishableKey: publishableKeyMatcher(config.publishableKeys),
  };
  const inbox = new Inbox({
    relay,
    log,
    topicOf: (sessionId) => sessionTopic(sessionId, config.RELAY_SHARDS),
    everyoneTopic: EVERYONE_TOPIC,
    sinks: {
      toSession: (sessionId, notification) => server.notices.toSession(sessionId, notification),
      toUser: (userId, notification) => server.notices.toUser(userId, notification),
      toEveryone: (notification) => server.notices.toEveryone(notification),
      activity: (name, payload) => watched.receive(name, payload),
    },
  });
  const server = new AgentServer({
    identity,
    registry: {
      store,
      session: {
        clock,
        ids,
        log,
        metrics,
        lifetime,
        activity,
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
      onOpened: (sessionId) => inbox.sessionOpened(sessionId),
      onClosed: (sessionId) => inbox.sessionClosed(sessionId),
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
  const commits = new Rate(clock, () => activity.commits);
  const load = new LoadMeter({
    clock,
    sink: watched,
    read(): LoadReading {
      const { sessions, runningTurns } = server.count();
      return { sessions, runningTurns, commitsPerSecond: commits.perSecond() };
    },
  });
  // Nobody can watch before the first one does: that is when the worker's start is told.
  let isAnnounced = false;
  hub.whileWatched(() => {
    if (!isAnnounced) activity.system("startup", { status: "ok" });
    isAnnounced = true;
    return () => {};
  });
  hub.whileWatched(() => load.start());
  hub.whileWatched(() => {
    inbox.watched(true);
    return () => inbox.watched(false);
  });
  onWorkerEnding(async (reason) => {
    activity.system("health_change", { status: "draining", message: reason });
    activity.system("shutdown", { status: reason });
    await server.drain(reason);
    hub.close();
    await relay.close();
  });
  return createRoutes({
    server,
    hub,
    identity,
    lifetime,
    clock,
    metrics,
    relay: config.RELAY === "off" ? SWITCHED_OFF : relay,
    store: "memory",
    isDraining: () => server.isDraining,
    allowedOrigins: config.ALLOWED_ORIGINS,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
    isSecretKey: secretKeyMatcher(config.secretKeys),
    upgradeWebSocket(request, options): Upgraded {
      const { socket, response } = Deno.upgradeWebSocket(request, options);
      return { socket, port: wrapSocket(socket), response };
    },
  });
}

/** Supabase Realtime where there is a project and it is wanted; otherwise nobody is to be reached but this worker. */
function createRelay(config: Config, { clock, log }: { clock: Clock; log: Log }): Relay {
  const { SUPABASE_URL: supabaseUrl, secretKeys: [secretKey] } = config;
  const relay = config.RELAY === "off" || supabaseUrl === undefined || secretKey === undefined
    ? new InProcessRelay()
    : createRealtimeRelay({ supabaseUrl, secretKey, clock, log });
  return new BatchingRelay({ relay, clock, log });
}

/**
 * `agent_websocket`: the composition root. Here, and only here, the ports meet what stands behind them.
 *
 * Nothing happens on import but `Deno.serve`; the environment is read at the first request.
 */

import { type Config, parseConfig } from "../_shared/config.ts";
import { BytePool } from "../_shared/guard/byte_pool.ts";
import { secretKeyMatcher } from "../_shared/guard/keys.ts";
import { MemoryBudget } from "../_shared/guard/memory_budget.ts";
import { RateLimiter } from "../_shared/guard/rate_limiter.ts";
import { NO_LEDGER, SharedUse } from "../_shared/guard/shared_use.ts";
import { Slots } from "../_shared/guard/slots.ts";
import { type Handler, onFirstRequest } from "../_shared/http/on_first_request.ts";
import { createRoutes } from "../_shared/http/routes.ts";
import type { Upgraded } from "../_shared/http/upgrade.ts";
import { Metrics } from "../_shared/metrics.ts";
import { Inbox } from "../_shared/notify/inbox.ts";
import { SessionCalls } from "../_shared/notify/session_calls.ts";
import { DISABLED_RELAY } from "../_shared/notify/disabled_relay.ts";
import { onWorkerEnding, workerLifetime } from "../_shared/platform/edge_lifetime.ts";
import { jsonLog, systemClock, systemIds } from "../_shared/platform/system.ts";
import { wakeAgent } from "../_shared/platform/wake_agent.ts";
import { wrapSocket } from "../_shared/platform/web_socket.ts";
import type { Log } from "../_shared/ports/runtime.ts";
import { EVERYONE_TOPIC, sessionTopic } from "../_shared/protocol/topics.ts";
import { AgentServer } from "../_shared/session/agent_server.ts";
import { ChosenStore } from "../_shared/session/chosen_store.ts";
import { MemoryStore } from "../_shared/session/memory_store.ts";
import type { SessionDeps, SessionSettings } from "../_shared/session/session_options.ts";
import { TitleMaker } from "../_shared/session/title_maker.ts";
import { WakeTimes } from "../_shared/session/wake_times.ts";
import { StoreChoice } from "../_shared/store_choice.ts";
import { AttemptAccounts } from "../_shared/usage/attempt_accounts.ts";
import { MemoryLedger } from "../_shared/usage/memory_ledger.ts";
import { createAgents } from "./agents.ts";
import { LiveActivity } from "./live_activity.ts";
import { createAiSdk, createGenerationReader, createModel, createReaders } from "./lazy_modules.ts";
import { budgetOf, createDurable, createIdentityPolicy, createRelay, type RuntimeDeps } from "./project.ts";

Deno.serve(onFirstRequest(() => compose(parseConfig(Deno.env.toObject()), jsonLog()), jsonLog));

function compose(config: Config, log: Log): Handler {
  const clock = systemClock();
  const ids = systemIds();
  const deps: RuntimeDeps = { clock, ids, log, workerId: ids.uuid() };
  const metrics = new Metrics();
  const lifetime = workerLifetime();
  const durable = createDurable(config, deps);
  const memory = new MemoryBudget(config.MAX_MEMORY_BYTES);
  const choice = new StoreChoice({ mode: config.SESSION_STORE, clock, log, durable });
  const store = new ChosenStore({
    choice,
    memory: new MemoryStore({ clock, maxEvents: config.MAX_EVENTS, memory }),
  });
  const relay = createRelay(config, { ...deps, metrics });
  const readers = createReaders();
  const isShared = (): boolean => choice.durable !== undefined;
  const live = new LiveActivity(config, {
    ...deps,
    metrics,
    relay,
    readers,
    count: () => server.count(),
    onWatched: (isWatched) => inbox.watched(isWatched),
  });
  const topicOf = (sessionId: string): string => sessionTopic(sessionId, config.RELAY_SHARDS);
  const calls = new SessionCalls({ relay, topicOf, from: deps.workerId, isNeeded: isShared });
  const limiter = new RateLimiter(clock, {
    perMinute: config.RATE_LIMIT_PER_MINUTE,
    burst: config.RATE_LIMIT_BURST,
  });
  const budget = budgetOf(config);
  const hasBudget = budget.tokens > 0 || budget.cost > 0;
  const memoryLedger = hasBudget ? new MemoryLedger({ clock, budget }) : undefined;
  const accounts = new AttemptAccounts({
    ...deps,
    metrics,
    lifetime,
    budget,
    ledger: () => choice.durable?.usage ?? memoryLedger,
    reader: createGenerationReader(config, clock),
  });
  const use = new SharedUse({
    clock,
    log,
    lifetime,
    limiter,
    ledger: durable ?? NO_LEDGER,
    connections: new Slots(),
    isShared,
  });
  const model = createModel(config, deps);
  const agents = createAgents({ config, clock, log, fetch });
  const addresses = new Slots();
  const waiting = new BytePool({ memory: memory.account(0) });
  const session: SessionDeps = {
    clock,
    ids,
    log,
    metrics,
    memory,
    lifetime,
    activity: live.reporter,
    eventLog: store,
    wakeTimes: new WakeTimes(clock),
    model,
    accounts,
    titles: config.TITLE_MODEL === undefined
      ? undefined
      : new TitleMaker({ ...deps, name: config.TITLE_MODEL, model, store, accounts, lifetime }),
    checkpointMs: config.CHECKPOINT_INTERVAL_MS,
    leaseMs: config.TURN_LEASE_MS,
    renewLeaseMs: config.TURN_LEASE_MS / 3,
    call: (sessionId, call) => calls.send(sessionId, call),
    offer: (sessionId, source) => calls.offer(sessionId, source),
    settings: sessionSettings(config),
    agentOf: ({ agent }) => agents.withOptions(agent),
  };
  const identity = createIdentityPolicy(config, clock);
  const inbox = new Inbox({
    relay,
    readers: readers.relayReaders,
    log,
    topicOf,
    everyoneTopic: EVERYONE_TOPIC,
    self: deps.workerId,
    sinks: {
      toSession: (sessionId, notification) => server.notices.toSession(sessionId, notification),
      toUser: (userId, notification) => server.notices.toUser(userId, notification),
      toEveryone: (notification) => server.notices.toEveryone(notification),
      call: (sessionId, call) => server.receive(sessionId, call),
      missed: () => server.pollHeads(),
      activity: (name, payload) => live.receive(name, payload),
      joiningEveryone: () => live.joining(),
      joinedEveryone: () => live.joined(),
    },
  });
  const server = new AgentServer({
    identity,
    registry: {
      store,
      isDurable: (sessionId) => store.isDurable(sessionId),
      ready: async () => void await choice.choose(),
      prune: async () => await choice.durable?.prune(config.RETENTION_DAYS),
      session,
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
      memory,
      rateLimiter: limiter,
      waiting,
      decoder: readers.decoder,
      maxMessageBytes: config.MAX_MESSAGE_BYTES,
      maxBufferedBytes: config.MAX_BUFFERED_BYTES,
    },
    admission: {
      maxConnections: config.MAX_CONNECTIONS,
      maxConnectionsPerUser: config.MAX_CONNECTIONS_PER_USER,
      maxConnectionsPerAddress: config.MAX_CONNECTIONS_PER_ADDRESS,
      addresses,
      use,
      newSessions: new RateLimiter(clock, {
        perMinute: config.ANONYMOUS_SESSIONS_PER_HOUR / 60,
        burst: config.ANONYMOUS_SESSIONS_PER_HOUR,
      }),
      memory,
    },
    authTimeoutMs: config.AUTH_TIMEOUT_MS,
    tokenExpiryNoticeMs: config.TOKEN_EXPIRY_NOTICE_MS,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
    wakeElsewhere: config.project && wakeAgent({ ...config.project, clock, log }),
    limits: toldLimits(config),
  });
  onWorkerEnding(async (reason) => {
    live.reporter.system("health_change", { status: "draining", message: reason });
    live.reporter.system("shutdown", { status: reason });
    await server.drain(reason);
    use.stop();
    live.close();
    await Promise.all([accounts.close(), relay.close(), agents.close()]);
  });
  return createRoutes({
    server,
    aiSdk: createAiSdk({
      ...deps,
      metrics,
      memory,
      waiting,
      rateLimiter: limiter,
      identity,
      server,
      maxFrameBytes: config.MAX_AI_SDK_MESSAGE_BYTES,
      maxMessageBytes: config.MAX_MESSAGE_BYTES,
      maxBufferedBytes: config.MAX_BUFFERED_BYTES,
      authTimeoutMs: config.AUTH_TIMEOUT_MS,
      idleTimeoutMs: config.sessionTimeoutMs,
    }),
    maxAiSdkFrameBytes: config.MAX_AI_SDK_MESSAGE_BYTES,
    hub: () => live.hub(),
    countWatchers: () => live.countWatchers(),
    activityPath: config.ACTIVITY_PATH,
    activityPingIntervalMs: config.ACTIVITY_HEARTBEAT_MS,
    identity,
    trustedProxies: config.trustedProxies,
    addresses,
    maxConnectionsPerAddress: config.MAX_CONNECTIONS_PER_ADDRESS,
    maxWatchers: config.MAX_CLIENTS,
    maxMessageBytes: config.MAX_MESSAGE_BYTES,
    authTimeoutMs: config.AUTH_TIMEOUT_MS,
    waitingWatchers: new Slots(),
    waiting,
    lifetime,
    clock,
    metrics,
    memory,
    relay: config.RELAY === "off" ? DISABLED_RELAY : relay,
    store: choice,
    isDraining: () => server.isDraining,
    isAgent: (name) => agents.has(name),
    allowedOrigins: config.ALLOWED_ORIGINS,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
    isSecretKey: secretKeyMatcher(config.secretKeys),
    upgradeWebSocket(request, options): Upgraded {
      const { socket, response } = Deno.upgradeWebSocket(request, options);
      return { socket, port: wrapSocket(socket), response };
    },
  });
}

function sessionSettings(config: Config): SessionSettings {
  return {
    systemPrompt: config.SYSTEM_PROMPT,
    models: config.models,
    allowedModels: config.allowedModels,
    temperature: config.TEMPERATURE,
    maxTokens: config.MAX_TOKENS,
    reasoningEffort: config.REASONING_EFFORT,
    maxHistory: config.MAX_HISTORY,
    maxEvents: config.MAX_EVENTS,
    maxQueue: config.MAX_QUEUE,
    queuePolicy: config.QUEUE_POLICY,
    continuePolicy: config.CONTINUE_POLICY,
    approvalMs: config.approvalTimeoutMs,
    approvers: config.APPROVERS,
  };
}

/** The limits in the `welcome` frame. */
function toldLimits(config: Config): Record<string, number> {
  return {
    max_message_bytes: config.MAX_MESSAGE_BYTES,
    rate_limit_per_minute: config.RATE_LIMIT_PER_MINUTE,
    max_queue: config.MAX_QUEUE,
    ...(config.MAX_TOKENS !== undefined && { max_tokens: config.MAX_TOKENS }),
    session_timeout_ms: config.sessionTimeoutMs,
  };
}

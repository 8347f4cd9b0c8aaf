/**
 * `notify_websocket`: the composition root. Other functions post notifications for connected clients here.
 *
 * Nothing happens on import but `Deno.serve`; the environment is read at the first request.
 */

import { type Config, ConfigError, parseConfig } from "../_shared/config.ts";
import { publishableKeyMatcher, secretKeyMatcher } from "../_shared/guard/keys.ts";
import { RateLimiter } from "../_shared/guard/rate_limiter.ts";
import { createNotifyRoutes } from "../_shared/http/notify_routes.ts";
import { type Handler, onFirstRequest } from "../_shared/http/on_first_request.ts";
import type { BatchingRelay } from "../_shared/notify/batching_relay.ts";
import { Approver } from "../_shared/notify/approver.ts";
import { Notifier } from "../_shared/notify/notifier.ts";
import { overPublicCarrier } from "../_shared/notify/public_carrier.ts";
import { SessionCalls } from "../_shared/notify/session_calls.ts";
import { DISABLED_RELAY } from "../_shared/notify/disabled_relay.ts";
import { PostgresStore } from "../_shared/platform/postgres_store.ts";
import { workerLifetime } from "../_shared/platform/edge_lifetime.ts";
import { createRealtimeRelay } from "../_shared/platform/realtime_relay.ts";
import { createSupabaseVerifier } from "../_shared/platform/supabase_auth.ts";
import { jsonLog, systemClock, systemIds } from "../_shared/platform/system.ts";
import { wakeAgent } from "../_shared/platform/wake_agent.ts";
import type { Clock, Ids, Log } from "../_shared/ports/runtime.ts";
import { EVERYONE_TOPIC, sessionTopic } from "../_shared/protocol/topics.ts";
import { StoreChoice } from "../_shared/store_choice.ts";

Deno.serve(onFirstRequest(() => compose(parseConfig(Deno.env.toObject(), { needsModel: false })), jsonLog));

/** What everything here is made with. */
interface RuntimeDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
}

function compose(config: Config): Handler {
  const clock = systemClock();
  const log = jsonLog();
  const ids = systemIds();
  const isRelayed = config.RELAY !== "off";
  const relay = isRelayed ? createRelay(config, { clock, ids, log }) : DISABLED_RELAY;
  const store = createStore(config, { clock, ids, log });
  const lifetime = workerLifetime();
  const wake = config.project && wakeAgent({ ...config.project, clock, log });
  const topicOf = (sessionId: string): string => sessionTopic(sessionId, config.RELAY_SHARDS);
  const calls = new SessionCalls({ relay, topicOf, from: ids.uuid(), isNeeded: () => isRelayed });
  return createNotifyRoutes({
    clock,
    log,
    relay,
    store,
    notifier: new Notifier({
      clock,
      log,
      relay,
      ids,
      topicOf,
      everyoneTopic: EVERYONE_TOPIC,
      store: () => store.chooseNow(),
      call: (sessionId, call) => calls.send(sessionId, call),
    }),
    approver: new Approver({
      ids,
      approvers: config.APPROVERS,
      store: () => store.chooseNow(),
      call: (sessionId, call) => calls.send(sessionId, call),
      wake: (sessionId) => lifetime.hold(wake?.(sessionId) ?? Promise.resolve()),
    }),
    verifier: createSupabaseVerifier({
      supabaseUrl: config.SUPABASE_URL ?? "",
      issuer: config.AUTH_ISSUER,
      trustedIssuers: config.TRUSTED_ISSUERS,
      hs256: config.HS256_TOKENS,
      apiKey: config.publishableKeys[0],
      clock,
    }),
    rateLimiter: new RateLimiter(clock, {
      perMinute: config.NOTIFY_RATE_LIMIT_PER_MINUTE,
      burst: Math.max(1, config.NOTIFY_RATE_LIMIT_PER_MINUTE),
    }),
    trustedProxies: config.trustedProxies,
    isSecretKey: secretKeyMatcher(config.secretKeys),
    isPublishableKey: publishableKeyMatcher(config.publishableKeys),
  });
}

/** A relay within this process would reach no client and still report success, so without a project there is none. */
function createRelay(
  { project, secretKeys, RELAY_MESSAGES_PER_SECOND: perSecond }: Config,
  { clock, log }: RuntimeDeps,
): BatchingRelay {
  if (project === undefined) {
    throw new ConfigError([
      "SUPABASE_URL, SUPABASE_SECRET_KEYS: must be set, to reach the workers over Realtime (or RELAY=off)",
    ]);
  }
  return overPublicCarrier(
    (onPressure) => createRealtimeRelay({ ...project, clock, log, onPressure }),
    { clock, log, perSecond, secretKeys, random: Math.random },
  );
}

function createStore(config: Config, { clock, ids, log }: RuntimeDeps): StoreChoice<PostgresStore> {
  const { SESSION_STORE: mode, project } = config;
  return new StoreChoice({
    mode,
    clock,
    log,
    durable: project && new PostgresStore({
      ...project,
      clock,
      ids,
      workerId: ids.uuid(),
      leaseMs: config.TURN_LEASE_MS,
      idleTimeoutMs: config.sessionTimeoutMs,
    }),
  });
}

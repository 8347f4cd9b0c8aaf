/**
 * `notify_websocket`: the composition root. Other functions post here what connected clients are to be told.
 *
 * Nothing happens on import but `Deno.serve`; the environment is read at the first request.
 */

import { type Config, ConfigError, parseConfig } from "../_shared/config.ts";
import { publishableKeyMatcher, secretKeyMatcher } from "../_shared/guard/keys.ts";
import { RateLimiter } from "../_shared/guard/rate_limiter.ts";
import { createNotifyRoutes } from "../_shared/http/notify_routes.ts";
import type { SessionCall } from "../_shared/protocol/session_call.ts";
import { type Handler, onFirstRequest } from "../_shared/http/on_first_request.ts";
import { BatchingRelay } from "../_shared/notify/batching_relay.ts";
import { NotificationStoreChoice } from "../_shared/notify/notification_store_choice.ts";
import { Notifier } from "../_shared/notify/notifier.ts";
import { SessionCalls } from "../_shared/notify/session_calls.ts";
import { PostgresStore } from "../_shared/platform/postgres_store.ts";
import { createRealtimeRelay } from "../_shared/platform/realtime_relay.ts";
import { createSupabaseVerifier } from "../_shared/platform/supabase_auth.ts";
import { jsonLog, systemClock, systemIds } from "../_shared/platform/system.ts";
import { EVERYONE_TOPIC, sessionTopic } from "../_shared/protocol/topics.ts";

Deno.serve(onFirstRequest(() => compose(parseConfig(Deno.env.toObject(), { needsModel: false })), jsonLog));

function compose(config: Config): Handler {
  const clock = systemClock();
  const log = jsonLog();
  const { SUPABASE_URL: supabaseUrl, secretKeys: [secretKey] } = config;
  // A relay of this process alone would reach nobody, and say that it did.
  if (supabaseUrl === undefined || secretKey === undefined) {
    throw new ConfigError([
      "SUPABASE_URL, SUPABASE_SECRET_KEYS: must be set, to reach the workers over Realtime",
    ]);
  }
  const relay = new BatchingRelay({
    clock,
    log,
    relay: createRealtimeRelay({ supabaseUrl, secretKey, clock, log }),
  });
  const ids = systemIds();
  const topicOf = (sessionId: string): string => sessionTopic(sessionId, config.RELAY_SHARDS);
  const from = ids.uuid();
  const store = new NotificationStoreChoice({
    mode: config.SESSION_STORE,
    log,
    durable: new PostgresStore({
      supabaseUrl,
      secretKey,
      clock,
      ids,
      workerId: from,
      leaseMs: config.TURN_LEASE_MS,
      idleTimeoutMs: config.sessionTimeoutMs,
    }),
  });
  const calls = new SessionCalls({ relay, log, topicOf, from, isNeeded: () => true });
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
      store: () => store.choose(),
      call: (sessionId: string, call: SessionCall) => calls.send(sessionId, call),
    }),
    verifier: createSupabaseVerifier({
      supabaseUrl,
      apiKey: config.publishableKeys[0],
      clock,
    }),
    rateLimiter: new RateLimiter(clock, {
      perMinute: config.NOTIFY_RATE_LIMIT_PER_MINUTE,
      burst: Math.max(1, config.NOTIFY_RATE_LIMIT_PER_MINUTE),
    }),
    isSecretKey: secretKeyMatcher(config.secretKeys),
    isPublishableKey: publishableKeyMatcher(config.publishableKeys),
  });
}

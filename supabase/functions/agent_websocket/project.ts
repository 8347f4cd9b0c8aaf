/** The services of the Supabase project: the database, Realtime, and Auth. */

import type { Config } from "../_shared/config.ts";
import type { IdentityPolicy } from "../_shared/guard/identity.ts";
import { publishableKeyMatcher } from "../_shared/guard/keys.ts";
import type { Metrics } from "../_shared/metrics.ts";
import { BatchingRelay } from "../_shared/notify/batching_relay.ts";
import { InProcessRelay } from "../_shared/notify/in_process_relay.ts";
import { overPublicCarrier } from "../_shared/notify/public_carrier.ts";
import { PostgresStore } from "../_shared/platform/postgres_store.ts";
import { createRealtimeRelay } from "../_shared/platform/realtime_relay.ts";
import { createSupabaseVerifier } from "../_shared/platform/supabase_auth.ts";
import type { Clock, Ids, Log } from "../_shared/ports/runtime.ts";
import type { DailyBudget } from "../_shared/ports/usage.ts";

/** Dependencies that all parts of this worker share. */
export interface RuntimeDeps {
  clock: Clock;
  ids: Ids;
  log: Log;
  workerId: string;
}

/** The project's database; undefined without a project, or with `SESSION_STORE=memory`. */
export function createDurable(
  config: Config,
  { clock, ids, workerId }: RuntimeDeps,
): PostgresStore | undefined {
  const { SESSION_STORE: mode, project } = config;
  if (mode === "memory" || project === undefined) return undefined;
  return new PostgresStore({
    ...project,
    clock,
    ids,
    workerId,
    leaseMs: config.TURN_LEASE_MS,
    idleTimeoutMs: config.sessionTimeoutMs,
    rate: { perMinute: config.RATE_LIMIT_PER_MINUTE, burst: config.RATE_LIMIT_BURST },
    budget: budgetOf(config),
  });
}

/** What a user may use in a day. */
export function budgetOf(config: Config): DailyBudget {
  return { tokens: config.DAILY_TOKEN_BUDGET, cost: config.DAILY_COST_BUDGET };
}

/** Supabase Realtime if there is a project and the setting allows it; otherwise a relay within this worker. */
export function createRelay(
  config: Config,
  { clock, log, metrics }: RuntimeDeps & { metrics: Metrics },
): BatchingRelay {
  const { RELAY: mode, RELAY_MESSAGES_PER_SECOND: perSecond, project, secretKeys } = config;
  if (mode === "off" || project === undefined) {
    return new BatchingRelay({ relay: new InProcessRelay(), clock, log });
  }
  return overPublicCarrier(
    (onPressure) => createRealtimeRelay({ ...project, clock, log, onPressure }),
    { clock, log, metrics, perSecond, secretKeys, random: Math.random },
  );
}

export function createIdentityPolicy(config: Config, clock: Clock): IdentityPolicy {
  return {
    mode: config.AUTH_MODE,
    verifier: createSupabaseVerifier({
      supabaseUrl: config.SUPABASE_URL ?? "",
      issuer: config.AUTH_ISSUER,
      trustedIssuers: config.TRUSTED_ISSUERS,
      hs256: config.HS256_TOKENS,
      apiKey: config.publishableKeys[0],
      clock,
    }),
    isPublishableKey: publishableKeyMatcher(config.publishableKeys),
  };
}

/** The stores of two workers on one database, with a way to move the database's time. */

import type { EventLog } from "../../supabase/functions/_shared/ports/event_log.ts";
import type { ConversationStore } from "../../supabase/functions/_shared/ports/conversation_store.ts";
import type { SessionStore } from "../../supabase/functions/_shared/ports/session_store.ts";
import {
  PostgresStore,
  type PostgresStoreOptions,
} from "../../supabase/functions/_shared/platform/postgres_store.ts";
import { systemClock, systemIds } from "../../supabase/functions/_shared/platform/system.ts";
import type { StoreServer } from "./store_server.ts";

export const LEASE_MS = 5000;
export const IDLE_MS = 1_800_000;

export type Store = SessionStore & ConversationStore & EventLog;

export interface StoresUnderTest {
  /** Each is the store of one worker. */
  ann: Store;
  bob: Store;
  /** Moves the time of leases and of expiry forward. */
  advance(ms: number): Promise<void>;
}

/** A store on a server, by default for a worker of its own. */
export function openStore(server: StoreServer, options: Partial<PostgresStoreOptions> = {}): PostgresStore {
  return new PostgresStore({
    supabaseUrl: server.url,
    secretKey: server.secretKey,
    clock: systemClock(),
    ids: systemIds(),
    workerId: crypto.randomUUID(),
    leaseMs: LEASE_MS,
    idleTimeoutMs: IDLE_MS,
    ...options,
  });
}

export function postgresStores(server: StoreServer): StoresUnderTest {
  return {
    ann: openStore(server),
    bob: openStore(server),
    advance: (ms) => advanceDatabase(server, ms),
  };
}

/** Moves every stored time back by `ms`, as if that much time had passed. */
export async function advanceDatabase({ sql }: StoreServer, ms: number): Promise<void> {
  const by = `interval '${ms} milliseconds'`;
  await sql(`update public.agent_sessions set lease_until = lease_until - ${by},
    last_active_at = last_active_at - ${by}, active_hour = date_trunc('hour', last_active_at - ${by}, 'UTC'),
    last_message_at = last_message_at - ${by}, message_hour = date_trunc('hour', last_message_at - ${by}, 'UTC'),
    oldest_at = coalesce(oldest_at, created_at) - ${by}`);
  await sql(`update public.agent_calls set called_at = called_at - ${by}`);
  await sql(`update public.agent_notifications set created_at = created_at - ${by}`);
  await sql(`update public.agent_events set created_at = created_at - ${by}`);
  await sql(`update public.agent_turns set created_at = created_at - ${by}, started_at = started_at - ${by},
    ended_at = ended_at - ${by}`);
  await sql(`update public.agent_feedback set created_at = created_at - ${by}`);
  await sql(`update public.agent_usage set created_at = created_at - ${by}, ended_at = ended_at - ${by}`);
  await sql(`update public.agent_use set refilled_at = refilled_at - ${by},
    day = ((day + time '12:00') at time zone 'UTC' - ${by})::date`);
}

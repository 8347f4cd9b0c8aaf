/** The destination of each path, and the platform's error messages for paths without one. */

import type { DatabaseTrouble } from "./database_trouble.ts";
import { JWKS_PATH } from "./desk.ts";
import type { Destination, Refusal, Upstream } from "./gateway.ts";
import { REALTIME_PATH } from "./realtime/realtime.ts";
import type { RealtimeServer } from "./realtime/server.ts";
import { BootError, type WorkerPool } from "./worker_pool.ts";

const FUNCTIONS_PREFIX = "/functions/v1/";
/** The end of a worker may be reported a little after its connections broke. */
const DEATH_NOTICE_MS = 1000;

/** The servers behind the gateway. Servers that are not started or not wanted are missing. */
export interface Parts {
  pools: ReadonlyMap<string, WorkerPool>;
  lite?: { port: Promise<number> };
  /** Functions are asked when it has settled. */
  databaseReady: Promise<unknown>;
  database: DatabaseTrouble;
  realtime?: RealtimeServer;
  desk?: { port: number };
}

/** Rejects only for a bug in this code. `target` is path and query. */
export async function route(
  target: string,
  { pools, lite, databaseReady, database, realtime, desk }: Parts,
): Promise<Destination> {
  const path = target.split("?", 1)[0] ?? target;
  if (path.startsWith(FUNCTIONS_PREFIX)) {
    const name = path.slice(FUNCTIONS_PREFIX.length).split("/", 1)[0] ?? "";
    const pool = pools.get(name);
    if (pool === undefined) return refusal(desk === undefined ? STARTING : FUNCTION_NOT_FOUND);
    await databaseReady;
    // Like the platform: the path keeps the function's name and loses everything before it.
    return await toFunction(pool, target.slice(FUNCTIONS_PREFIX.length - 1));
  }
  if (path !== JWKS_PATH && (path.startsWith("/auth/v1/") || path.startsWith("/rest/v1/"))) {
    if (lite === undefined) return refusal(LITE_OFF);
    try {
      const upstream: Upstream = { kind: "upstream", port: await lite.port, target, upgrades: false };
      return path.startsWith("/rest/v1/") ? database.pass(upstream) : upstream;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return refusal({ status: 503, code: "LITE_ERROR", message });
    }
  }
  if (realtime !== undefined && path.startsWith(`${REALTIME_PATH}/`)) {
    const { port, realtime: { cutSignal } } = realtime;
    return { kind: "upstream", port, target, upgrades: true, cutSignal };
  }
  if (desk === undefined) return refusal(STARTING);
  return { kind: "upstream", port: desk.port, target, upgrades: false };
}

async function toFunction(pool: WorkerPool, target: string): Promise<Destination> {
  try {
    const lease = await pool.lease();
    return {
      kind: "upstream",
      port: lease.port,
      target,
      upgrades: true,
      onAnswer: lease.answered,
      onSilence: async () => await lease.death(DEATH_NOTICE_MS) === "limit" ? WORKER_LIMIT : WORKER_ERROR,
    };
  } catch (error) {
    if (error instanceof BootError) return refusal(BOOT_ERROR);
    throw error;
  }
}

function refusal(words: Refusal): Destination {
  return { kind: "refusal", ...words };
}

// Messages in the platform's words.
const FUNCTION_NOT_FOUND: Refusal = {
  status: 404,
  code: "NOT_FOUND",
  message: "Requested function was not found",
};
const BOOT_ERROR: Refusal = {
  status: 503,
  code: "BOOT_ERROR",
  message: "Function failed to start (please check logs)",
};
const WORKER_ERROR: Refusal = {
  status: 500,
  code: "WORKER_ERROR",
  message: "Function exited due to an error (please check logs)",
};
const WORKER_LIMIT: Refusal = {
  status: 546,
  code: "WORKER_LIMIT",
  message: "Function failed due to not having enough compute resources (please check logs)",
};
// The stack's own messages.
const LITE_OFF: Refusal = {
  // Not 503: supabase-js would try again for seconds.
  status: 501,
  code: "LITE_OFF",
  message: "This stack has no database: Auth and REST are switched off",
};
const STARTING: Refusal = { status: 503, code: "STARTING", message: "The local stack is still starting" };

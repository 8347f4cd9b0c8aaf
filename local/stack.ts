/** The whole stack in one call: gateway, workers, Auth and REST, model, playground. */

import { systemClock } from "../supabase/functions/_shared/platform/system.ts";
import { settledWithin } from "../supabase/functions/_shared/settled_within.ts";
import { type DatabaseControl, DatabaseTrouble } from "./database_trouble.ts";
import type { Demo } from "./demo.ts";
import { type Desk, openDesk } from "./desk.ts";
import { functionsEnv } from "./functions_env.ts";
import { type Gateway, openGateway } from "./gateway.ts";
import { createKeys, type LocalKeys, WELL_KNOWN_SECRET_KEY } from "./keys.ts";
import { chooseModel, type Model, type ModelChoice } from "./model.ts";
import { Playground } from "./playground.ts";
import type { RealtimeControl } from "./realtime/realtime.ts";
import { openRealtime, type RealtimeServer } from "./realtime/server.ts";
import type { RealtimeOptions } from "./realtime/settings.ts";
import { route } from "./router.ts";
import { wscatLine } from "./stack_info.ts";
import { startSupabaseLite } from "./supabase_lite.ts";
import { TestHooks, type TokenRequest } from "./test_hooks.ts";
import type { Thread } from "./thread.ts";
import { type DisturbOptions, WorkerPool, type WorkerStatus } from "./worker_pool.ts";
import type { FunctionSource } from "./worker_process.ts";

const PROJECT_ROOT = new URL("../", import.meta.url);
/** The default of `DRAIN_TIMEOUT_MS`, used also if the setting is not a positive number. */
const DRAIN_MS = 10_000;
/** The extra time of a worker after its running answers: for the last frames and the last writes. */
const GOODBYE_MS = 1200;
/** The time limit for the other parts. */
const PART_STOP_MS = 500;

export interface LocalStackOptions {
  /** The environment of the functions: these variables and the platform's own variables, nothing else. */
  env: Readonly<Record<string, string>>;
  /** Default: 0, a free port. */
  port?: number;
  /** Default: 127.0.0.1. */
  hostname?: string;
  /** The folder that contains one folder per function. Default: `supabase/functions`. */
  functions?: URL;
  /** The file that takes the place of every function's `agent.ts`. Default: none. */
  agentFile?: URL;
  /** Worker processes per function: one number for all, or a number per function name. Default: 1. */
  workers?: number | Readonly<Record<string, number>>;
  /** How long a worker lives, in milliseconds. Default: 0, as long as the stack. */
  wallClockMs?: number;
  /** Whether `/auth/v1` and `/rest/v1` are served. Default: true. */
  lite?: boolean;
  /** The PostgreSQL for Auth and REST. Default: PGlite, in memory. */
  databaseUrl?: string;
  /** The folder of migrations to apply. Default: `supabase/migrations`. */
  migrations?: URL;
  /** An agent that takes the place of `agent_websocket/agent.ts`, with its tables. Default: none. */
  demo?: Demo | undefined;
  /** The settings of `/realtime/v1`. */
  realtime?: Omit<RealtimeOptions, "keys" | "publicKeys">;
  /** Default: the model in `env`, otherwise the mock. */
  model?: ModelChoice;
  /** Whether `/__local/…` is served. Default: false. */
  testHooks?: boolean;
  /** The Deno that runs the workers. Default: the one that runs the stack. */
  denoPath?: string;
  /**
   * How long workers may take to end when the stack stops, in milliseconds. Default: a little more than
   * `DRAIN_TIMEOUT_MS`.
   */
  stopGraceMs?: number;
  /** A log line: output of a function, marked with its name and worker, or an event of a worker. */
  onLog?(line: string, stream: "stdout" | "stderr"): void;
}

export interface LocalStack {
  /** Such as `http://127.0.0.1:54321`. */
  url: string;
  /** The same address for WebSockets. */
  wsUrl: string;
  keys: LocalKeys;
  /** A description of the model that answers. */
  model: string;
  /** The value of `AUTH_MODE` for the functions. */
  authMode: string;
  workers(): WorkerStatus[];
  /** Makes a worker of the function `name` rotate or die; see {@linkcode WorkerPool.disturb}. */
  disturb(name: string, action: "beforeunload" | "kill", options?: DisturbOptions): boolean;
  /** Simulates an outage of the database, as clients of `/rest/v1` see it. */
  database: DatabaseControl;
  /** Simulates an outage of Realtime, and lists its connections. */
  realtime: RealtimeControl;
  /** Signs a token, like `POST /__local/token`. */
  token(request?: TokenRequest): Promise<string>;
  /**
   * Graceful shutdown: the workers notify their clients, and running answers get their time. Takes `stopGraceMs` plus
   * two seconds at most. A second call waits for the same shutdown.
   */
  stop(): Promise<void>;
}

/** The parts that have been started so far. */
interface Running {
  database: DatabaseTrouble;
  pools: Map<string, WorkerPool>;
  gateway?: Gateway;
  lite?: Thread;
  /** When functions may be asked: with a database, once it has started. */
  databaseReady: Promise<unknown>;
  realtime?: RealtimeServer;
  model?: Model;
  desk?: Desk;
}

/**
 * Resolves when every part accepts requests. Requests for functions, Auth and REST are held until Supabase Lite has
 * started, a few seconds later; with `SESSION_STORE=memory` those for functions are not. A function that cannot boot does
 * not stop the others: the error is in the log, and each request tries to boot it again.
 *
 * Rejects with `Deno.errors.AddrInUse` if the port is taken.
 */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const running: Running = {
    pools: new Map(),
    database: new DatabaseTrouble(),
    databaseReady: Promise.resolve(),
  };
  try {
    return await start(options, running);
  } catch (error) {
    await stopAll(running, 0);
    throw error;
  }
}

async function start(options: LocalStackOptions, running: Running): Promise<LocalStack> {
  const { env, onLog = () => {} } = options;
  const { pools } = running;
  const gateway = running.gateway = openGateway({
    hostname: options.hostname ?? "127.0.0.1",
    port: options.port ?? 0,
    router: (target) => route(target, running),
    onError: (error) => onLog(`[gateway] ${error instanceof Error ? error.stack : error}`, "stderr"),
  });
  const url = `http://127.0.0.1:${gateway.port}`;
  const keys = await createKeys(env);
  if (options.lite !== false) {
    const { databaseUrl, migrations = new URL("supabase/migrations/", PROJECT_ROOT), demo } = options;
    running.lite = await startSupabaseLite({ keys, url, migrations, databaseUrl, demo });
    const started = running.lite.port.catch((error) => onLog(`[supabase lite] ${error.message}`, "stderr"));
    // A client that connects before would be refused: sessions are stored in the database.
    if (env.SESSION_STORE !== "memory") running.databaseReady = started;
  }
  const model = running.model = await chooseModel(env, options.model);
  const workerEnv = functionsEnv({
    env,
    url,
    keys,
    hasDatabase: running.lite !== undefined,
    ...(model.baseUrl === undefined ? {} : { modelUrl: model.baseUrl }),
  });
  const functions = options.functions ?? new URL("supabase/functions/", PROJECT_ROOT);
  for (const source of await findFunctions(functions, options.agentFile ?? options.demo?.agent)) {
    const pool = new WorkerPool({
      source,
      denoPath: options.denoPath ?? Deno.execPath(),
      env: workerEnv,
      size: (typeof options.workers === "object" ? options.workers[source.name] : options.workers) ?? 1,
      testHooks: options.testHooks ?? false,
      wallClockMs: options.wallClockMs ?? 0,
      onLog,
    });
    pools.set(source.name, pool);
  }
  const authMode = workerEnv.AUTH_MODE ?? "";
  const { realtime } = running.realtime = openRealtime({
    onError: (error) => onLog(`[realtime] ${error instanceof Error ? error.stack : error}`, "stderr"),
    ...options.realtime,
    keys,
    publicKeys: async () => [keys.es256, ...await hooks.publicKeys()],
  });
  const hooks: TestHooks = new TestHooks({ keys, url, pools, database: running.database, realtime });
  running.desk = openDesk({
    keys,
    ...(options.testHooks ? { hooks } : {}),
    playground: new Playground({
      info: () => ({
        url,
        functions: [...pools.keys()],
        model: model.description,
        authMode,
        publishableKey: keys.publishableKey,
        ...(keys.secretKey === WELL_KNOWN_SECRET_KEY && { secretKey: keys.secretKey }),
        lite: running.lite !== undefined,
        activityPath: workerEnv.ACTIVITY_PATH ?? "/api/v1/activity/live",
        wscat: wscatLine(url),
      }),
      sign: (claims) => hooks.token({ claims }),
    }),
  });
  await Promise.all([
    // A function that cannot boot has already logged the error.
    ...Array.from(pools.values(), (pool) => pool.start().catch(() => {})),
    running.databaseReady,
  ]);

  let stopped: Promise<void> | undefined;
  return {
    url,
    wsUrl: url.replace(/^http/, "ws"),
    keys,
    model: model.description,
    authMode,
    workers: () => [...pools.values()].flatMap((pool) => pool.status()),
    disturb: (name, action, disturbance) => pools.get(name)?.disturb(action, disturbance) ?? false,
    database: running.database,
    realtime,
    token: (request = {}) => hooks.token(request),
    stop: () => stopped ??= stopAll(running, options.stopGraceMs ?? graceFor(workerEnv)),
  };
}

/** The time that the workers need for a graceful shutdown. */
function graceFor({ DRAIN_TIMEOUT_MS }: Readonly<Record<string, string>>): number {
  return (Number(DRAIN_TIMEOUT_MS ?? DRAIN_MS) || DRAIN_MS) + GOODBYE_MS;
}

/**
 * Stops the parts from the outside in: a part closes only after the parts that need it have ended. Workers write to the
 * database through the gateway.
 */
async function stopAll(
  { pools, gateway, lite, realtime, model, desk }: Running,
  graceMs: number,
): Promise<void> {
  await Promise.all([...pools.values()].map((pool) => pool.stop(graceMs)));
  const flushed = gateway?.stop();
  lite?.stop();
  model?.stop();
  const stopping = [realtime, desk].flatMap((part) => part === undefined ? [] : [part.stop()]);
  await settledWithin(systemClock(), PART_STOP_MS, Promise.all(stopping));
  await flushed;
}

/** The folders with an `index.ts`, sorted by name, except those that begin with `_` or `.`. */
async function findFunctions(directory: URL, agentFile: URL | undefined): Promise<FunctionSource[]> {
  const found: FunctionSource[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (!isDirectory || name.startsWith("_") || name.startsWith(".")) continue;
    const source: FunctionSource = { name, directory: new URL(`${encodeURIComponent(name)}/`, directory) };
    if (!await isFile(new URL("index.ts", source.directory))) continue;
    if (agentFile !== undefined && await isFile(new URL("agent.ts", source.directory))) {
      source.agentFile = agentFile;
    }
    found.push(source);
  }
  return found.sort((a, b) => a.name.localeCompare(b.name));
}

async function isFile(path: URL): Promise<boolean> {
  return (await Deno.stat(path).catch(() => undefined))?.isFile ?? false;
}

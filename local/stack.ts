/** The whole stack in one call: gateway, workers, Auth and REST, model, status page. */

import { type Desk, JWKS_PATH, openDesk } from "./desk.ts";
import { functionsEnv } from "./functions_env.ts";
import { type Destination, type Gateway, openGateway, type Refusal } from "./gateway.ts";
import { createKeys, type LocalKeys } from "./keys.ts";
import { renderStatusPage } from "./status_page.ts";
import { startSupabaseLite } from "./supabase_lite.ts";
import { TestHooks, type TokenRequest } from "./test_hooks.ts";
import { startThread, type Thread } from "./thread.ts";
import { BootError, type DisturbOptions, WorkerPool, type WorkerStatus } from "./worker_pool.ts";
import type { FunctionSource } from "./worker_process.ts";

const PROJECT_ROOT = new URL("../", import.meta.url);
const FUNCTIONS_PREFIX = "/functions/v1/";
/** How long workers may take to end with the stack. */
const STOP_GRACE_MS = 3000;
/** A worker's end may be known a little after its connections broke. */
const DEATH_NOTICE_MS = 1000;

export interface LocalStackOptions {
  /** What the functions find in their environment, and nothing else but the platform's own variables. */
  env: Readonly<Record<string, string>>;
  /** Default: 0, a free one. */
  port?: number;
  /** Default: 127.0.0.1. */
  hostname?: string;
  /** The folder whose folders are functions. Default: `supabase/functions`. */
  functions?: URL;
  /** Worker processes of each function. Default: 1. */
  workers?: number;
  /** How long a worker lives, in milliseconds. Default: 0, as long as the stack. */
  wallClockMs?: number;
  /** Whether `/auth/v1` and `/rest/v1` are served. Default: true. */
  lite?: boolean;
  /**
   * The model. `mock` starts aimock; a `baseUrl` is passed on as `OPENROUTER_BASE_URL`; `env` leaves it to the
   * environment. Default: `env` where that has a key or a base URL, else `mock`.
   */
  model?: "mock" | "env" | { baseUrl: string };
  /** Whether `/__local/…` is served. Default: false. */
  testHooks?: boolean;
  /** The Deno that runs the workers. Default: the one that runs the stack. */
  denoPath?: string;
  /** A line of the log: what a function printed, marked with its name and worker, or what became of a worker. */
  onLog?(line: string, stream: "stdout" | "stderr"): void;
}

export interface LocalStack {
  /** Such as `http://127.0.0.1:54321`. */
  url: string;
  /** The same for WebSockets. */
  wsUrl: string;
  keys: LocalKeys;
  /** Which model answers, in words. */
  model: string;
  /** What the functions got for `AUTH_MODE`. */
  authMode: string;
  workers(): WorkerStatus[];
  /** Makes a worker rotate or die; see {@linkcode WorkerPool.disturb}. */
  disturb(name: string, action: "beforeunload" | "kill", options?: DisturbOptions): boolean;
  /** Signs a token as `POST /__local/token` does. */
  token(request?: TokenRequest): Promise<string>;
  /** Ends everything, within five seconds. Calling it again waits for the same end. */
  stop(): Promise<void>;
}

/**
 * Resolves when every part takes requests; those for Auth and REST are held until Supabase Lite is up, a few seconds
 * later. A function that cannot boot does not stop the others: the log says so, and each request tries again.
 *
 * Rejects with `Deno.errors.AddrInUse` where the port is taken.
 */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { env, onLog = () => {} } = options;
  const keys = await createKeys(env);
  const pools = new Map<string, WorkerPool>();
  const parts: Parts = { pools };
  const gateway = openGateway({
    hostname: options.hostname ?? "127.0.0.1",
    port: options.port ?? 0,
    router: (target) => route(target, parts),
  });
  const url = `http://127.0.0.1:${gateway.port}`;
  if (options.lite !== false) {
    const migrations = new URL("supabase/migrations/", PROJECT_ROOT);
    parts.lite = await startSupabaseLite({ keys, migrations, url });
    parts.lite.port.catch((error) => onLog(error.message, "stderr"));
  }
  const model = await chooseModel(options);
  const workerEnv = functionsEnv({
    env,
    url,
    keys,
    ...(model.baseUrl === undefined ? {} : { modelUrl: model.baseUrl }),
  });
  const authMode = workerEnv.AUTH_MODE ?? "";
  for (
    const source of await findFunctions(options.functions ?? new URL("supabase/functions/", PROJECT_ROOT))
  ) {
    const pool = new WorkerPool({
      source,
      denoPath: options.denoPath ?? Deno.execPath(),
      env: workerEnv,
      size: options.workers ?? 1,
      wallClockMs: options.wallClockMs ?? 0,
      onLog,
    });
    pools.set(source.name, pool);
  }
  const hooks = new TestHooks({ keys, url, pools });
  parts.desk = openDesk({
    keys,
    ...(options.testHooks ? { hooks } : {}),
    statusPage: () =>
      renderStatusPage({
        url,
        functions: [...pools.keys()],
        model: model.description,
        authMode,
        publishableKey: keys.publishableKey,
        lite: parts.lite !== undefined,
      }),
  });
  // One that cannot boot has said so in the log.
  await Promise.all([...pools.values()].map((pool) => pool.start().catch(() => {})));

  let stopped: Promise<void> | undefined;
  return {
    url,
    wsUrl: url.replace(/^http/, "ws"),
    keys,
    model: model.description,
    authMode,
    workers: () => [...pools.values()].flatMap((pool) => pool.status()),
    disturb: (name, action, disturbance) => pools.get(name)?.disturb(action, disturbance) ?? false,
    token: (request = {}) => hooks.token(request),
    stop: () => stopped ??= stopAll(parts, gateway, model),
  };
}

/** Where requests go. What is not there yet, or not wanted, is missing. */
interface Parts {
  pools: ReadonlyMap<string, WorkerPool>;
  lite?: Thread;
  desk?: Desk;
}

async function stopAll(
  { pools, lite, desk }: Parts,
  gateway: Gateway,
  model: ChosenModel,
): Promise<void> {
  gateway.refuse();
  // Connections stay open meanwhile: the workers' last frames go through them.
  await Promise.all([...pools.values()].map((pool) => pool.stop(STOP_GRACE_MS)));
  lite?.stop();
  await gateway.stop();
  model.stop();
  await desk?.stop();
}

async function route(target: string, { pools, lite, desk }: Parts): Promise<Destination> {
  const path = target.split("?", 1)[0] ?? target;
  if (path.startsWith(FUNCTIONS_PREFIX)) {
    const name = path.slice(FUNCTIONS_PREFIX.length).split("/", 1)[0] ?? "";
    const pool = pools.get(name);
    if (pool === undefined) return { kind: "refusal", ...FUNCTION_NOT_FOUND };
    // The platform, too, leaves the function's name in the path, and nothing before it.
    return await toFunction(pool, target.slice(FUNCTIONS_PREFIX.length - 1));
  }
  if (path !== JWKS_PATH && (path.startsWith("/auth/v1/") || path.startsWith("/rest/v1/"))) {
    if (lite === undefined) return { kind: "refusal", ...LITE_OFF };
    try {
      return { kind: "upstream", port: await lite.port, target, upgrades: false };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { kind: "refusal", status: 503, code: "LITE_ERROR", message };
    }
  }
  if (desk === undefined) return { kind: "refusal", ...STARTING };
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
    if (error instanceof BootError) return { kind: "refusal", ...BOOT_ERROR };
    throw error;
  }
}

// In the platform's words.
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
// In our own.
const LITE_OFF: Refusal = {
  status: 503,
  code: "LITE_OFF",
  message: "Auth and REST are switched off in this stack",
};
const STARTING: Refusal = { status: 503, code: "STARTING", message: "The local stack is still starting" };

interface ChosenModel {
  description: string;
  baseUrl?: string;
  stop(): void;
}

async function chooseModel({ env, model }: LocalStackOptions): Promise<ChosenModel> {
  const stop = (): void => {};
  if (typeof model === "object") {
    return { description: `the server at ${model.baseUrl}`, baseUrl: model.baseUrl, stop };
  }
  if (model === "env" || (model === undefined && (env.OPENROUTER_API_KEY || env.OPENROUTER_BASE_URL))) {
    const description = env.OPENROUTER_BASE_URL
      ? `the server at ${env.OPENROUTER_BASE_URL} (OPENROUTER_BASE_URL)`
      : "OpenRouter (OPENROUTER_API_KEY)";
    return { description, stop };
  }
  const mock = startThread(new URL("./mock_model_thread.ts", import.meta.url), {
    name: "the mock model",
    setup: {},
  });
  return {
    description: "the local mock, with demo answers (set OPENROUTER_API_KEY for a real one)",
    baseUrl: `http://127.0.0.1:${await mock.port}/api/v1`,
    stop: mock.stop,
  };
}

async function findFunctions(directory: URL): Promise<FunctionSource[]> {
  const found: FunctionSource[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (!isDirectory || name.startsWith("_") || name.startsWith(".")) continue;
    const source = { name, directory: new URL(`${encodeURIComponent(name)}/`, directory) };
    const index = await Deno.stat(new URL("index.ts", source.directory)).catch(() => undefined);
    if (index?.isFile) found.push(source);
  }
  return found.sort((a, b) => a.name.localeCompare(b.name));
}

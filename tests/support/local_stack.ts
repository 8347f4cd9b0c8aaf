/** The local stack for wire tests: free ports, a minimal environment, and everything stopped when the test ends. */

import assert from "node:assert/strict";
import { type LocalStack, type LocalStackOptions, startLocalStack } from "../../local/stack.ts";
import { startPostgres } from "./postgres_server.ts";

/** Functions that exist only for the tests of the stack. */
export const FIXTURE_FUNCTIONS = new URL("../fixtures/functions/", import.meta.url);

/** Nothing listens on this port. */
const NOWHERE = "http://127.0.0.1:9/api/v1";

/** A model that a test holds back must not time out because the machine is slow. Tests of these clocks set their own. */
const PATIENT_MODEL = { FIRST_TOKEN_TIMEOUT_MS: "600000", STALL_TIMEOUT_MS: "600000" };

/** `workers` as a number: of `agent_websocket`, or of `probe`. */
export interface TestStackOptions extends Omit<LocalStackOptions, "env" | "onLog"> {
  /** Overrides the minimal environment; see {@linkcode bareEnv}. */
  env?: Readonly<Record<string, string>>;
  /** Uses PGlite, as `deno task dev` does, instead of a PostgreSQL process, which starts faster. */
  pglite?: boolean;
}

export interface TestStack extends LocalStack {
  /** The output and the lifecycle of the workers, one entry per line, marked `[function#worker]`. */
  readonly workerLogs: readonly string[];
  /** The lines that go to the terminal's stderr. */
  readonly stderr: readonly string[];
}

/**
 * Runs `body` with its own stack, then stops the stack. The defaults make it start in under a second: no Supabase Lite,
 * no mock model (`model: "mock"` starts it), one worker of `agent_websocket` or `probe`, and the other functions only at their
 * first request.
 * `LOCAL_DENO` sets another Deno for the workers. If `body` fails, the output of the workers is printed.
 */
export async function withLocalStack<T>(
  { pglite = false, ...options }: TestStackOptions,
  body: (stack: TestStack) => Promise<T>,
): Promise<T> {
  if (options.lite !== true || pglite || options.databaseUrl !== undefined) {
    return await runStack(options, body);
  }
  const database = await startPostgres();
  try {
    return await runStack({ ...options, databaseUrl: database.url }, body);
  } finally {
    await database.stop();
  }
}

async function runStack<T>(
  options: Omit<TestStackOptions, "pglite">,
  body: (stack: TestStack) => Promise<T>,
): Promise<T> {
  const workerLogs: string[] = [];
  const stderr: string[] = [];
  const denoPath = Deno.env.get("LOCAL_DENO");
  const stack = await startLocalStack({
    lite: false,
    model: { baseUrl: NOWHERE },
    // When a test ends, its clients are gone, so a short grace period is enough.
    stopGraceMs: 3000,
    ...(denoPath === undefined ? {} : { denoPath }),
    ...options,
    workers: workersOf(options.workers),
    env: { ...bareEnv(), ...PATIENT_MODEL, ...options.env },
    onLog: (line, stream) => {
      workerLogs.push(line);
      if (stream === "stderr") stderr.push(line);
    },
  });
  try {
    return await body({ ...stack, workerLogs, stderr });
  } catch (error) {
    Deno.stderr.writeSync(new TextEncoder().encode(`${workerLogs.join("\n")}\n`));
    throw error;
  } finally {
    await stack.stop();
  }
}

/** Most tests send requests to one function only. The others start with their first request. */
function workersOf(workers: LocalStackOptions["workers"]): Readonly<Record<string, number>> {
  const idle = { notify_websocket: 0, broken: 0, default_export: 0 };
  return typeof workers === "number"
    ? { ...idle, agent_websocket: workers, probe: workers }
    : { ...idle, ...workers };
}

/**
 * The environment variables that a Deno process needs to find its cache and its registry. Nothing that could change the
 * tested behaviour.
 */
export function bareEnv(): Record<string, string> {
  const needed =
    /^(PATH|HOME|TMPDIR|DENO_DIR|DENO_V8_FLAGS|XDG_CACHE_HOME|LD_LIBRARY_PATH|RES_OPTIONS|SSL_CERT_\w+|DENO_CERT|DENO_TLS_CA_STORE|NODE_EXTRA_CA_CERTS|npm_config_\w+|https?_proxy|no_proxy|USERPROFILE|LOCALAPPDATA|SystemRoot)$/i;
  return Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => needed.test(name)));
}

/**
 * Polls until `check` returns a value, and returns that value. Fails after `withinMs` milliseconds, by default enough for a
 * machine that is busy with other things, with `what` in the message.
 */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 30_000,
): Promise<T> {
  const startedAt = performance.now();
  for (let waited = 0; waited < withinMs; waited = performance.now() - startedAt) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    // A check may cost more CPU than what it waits for, such as one on a page.
    const pause = Math.min(Math.max(10, waited / 4), 100);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  assert.fail(`Not within ${withinMs} ms: ${what}`);
}

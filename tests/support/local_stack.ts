/** The local stack for wire tests: free ports, a bare environment, everything ended when the test ends. */

import assert from "node:assert/strict";
import { type LocalStack, type LocalStackOptions, startLocalStack } from "../../local/stack.ts";
import { startPostgres } from "./postgres_server.ts";

/** Functions that exist for the tests of the stack itself. */
export const FIXTURE_FUNCTIONS = new URL("../fixtures/functions/", import.meta.url);

/** Nothing listens here. */
const NOWHERE = "http://127.0.0.1:9/api/v1";

export interface TestStackOptions extends Omit<LocalStackOptions, "env" | "onLog"> {
  /** Over the bare environment; see {@linkcode bareEnv}. */
  env?: Readonly<Record<string, string>>;
  /** Keeps the database in PGlite, as `deno task dev` does, and not in a PostgreSQL of its own, which starts sooner. */
  pglite?: boolean;
}

export interface TestStack extends LocalStack {
  /** What the workers printed and what became of them, one line each, marked `[function#worker]`. */
  readonly workerLogs: readonly string[];
  /** The same, as it stands on the two streams of the terminal. */
  readonly stderr: readonly string[];
}

/**
 * Runs `body` with a stack of its own, and ends the stack. The defaults of a test are those of a start in under a
 * second: no Supabase Lite, no mock model (`model: "mock"` brings it), one worker of each function, that of `notify_websocket` at its first request. `LOCAL_DENO` names
 * another Deno for the workers. If `body` fails, what the workers printed is printed.
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
    // Who has asked is gone when a test ends.
    stopGraceMs: 3000,
    ...(denoPath === undefined ? {} : { denoPath }),
    ...options,
    // Most tests never ask it.
    workers: typeof options.workers === "number"
      ? options.workers
      : { notify_websocket: 0, ...options.workers },
    env: { ...bareEnv(), ...options.env },
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

/**
 * What a Deno process needs from the environment to find its cache and its registry, and nothing that could change
 * what is tested.
 */
export function bareEnv(): Record<string, string> {
  const needed =
    /^(PATH|HOME|TMPDIR|DENO_DIR|XDG_CACHE_HOME|LD_LIBRARY_PATH|SSL_CERT_\w+|DENO_CERT|DENO_TLS_CA_STORE|NODE_EXTRA_CA_CERTS|npm_config_\w+|https?_proxy|no_proxy|USERPROFILE|LOCALAPPDATA|SystemRoot)$/i;
  return Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => needed.test(name)));
}

/** Polls until `check` gives something, and gives that. Fails after `withinMs` milliseconds, saying `what` was missing. */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 5000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`Not within ${withinMs} ms: ${what}`);
}

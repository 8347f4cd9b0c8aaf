/** A server in a process of its own, and its resource usage. */

import { invalid } from "../report/invalid.ts";
import { Control } from "./control.ts";
import type { Used } from "./host.ts";

const HOST = new URL("host.ts", import.meta.url);
const START_TIMEOUT_MS = 20_000;

/**
 * Both sides get the same environment; only our build reads the names below the first. Limits are off, the log is
 * unchanged.
 */
const ENVIRONMENT = {
  MODEL: "bench/model",
  MAX_TOKENS: "1000000",
  AUTH_MODE: "none",
  RATE_LIMIT_PER_MINUTE: "0",
  MAX_CONNECTIONS: "0",
  MAX_CONNECTIONS_PER_USER: "0",
  MAX_CONNECTIONS_PER_ADDRESS: "0",
  ANONYMOUS_SESSIONS_PER_HOUR: "0",
  MAX_SESSIONS: "0",
  MAX_MEMORY_BYTES: "0",
};
/** What Deno itself needs to find its cache. */
const INHERITED = ["HOME", "PATH", "DENO_DIR", "XDG_CACHE_HOME", "NPM_CONFIG_REGISTRY", "TMPDIR"];

export interface ServerOptions {
  modelPort: number;
  /** Flags of `deno run`. */
  flags?: readonly string[];
  /** Added to the common environment. */
  env?: Readonly<Record<string, string>>;
}

export class ServerProcess {
  readonly port: number;
  /** The usage before the entry was loaded, and after. */
  readonly atStart: Used;
  readonly atImport: Used;
  readonly #child: Deno.ChildProcess;
  get pid(): number {
    return this.#child.pid;
  }
  readonly #control: Control;

  private constructor(
    port: number,
    child: Deno.ChildProcess,
    control: Control,
    [atStart, atImport]: readonly [Used, Used],
  ) {
    this.port = port;
    this.#child = child;
    this.#control = control;
    this.atStart = atStart;
    this.atImport = atImport;
  }

  /** Starts `entry`, a path from `bench/host/`; resolves when it has been loaded and listens. */
  static async start(
    entry: string,
    { modelPort, flags = [], env = {} }: ServerOptions,
  ): Promise<ServerProcess> {
    const port = freePort();
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", ...flags, HOST.href, entry],
      clearEnv: true,
      env: {
        ...serverEnv(modelPort, port),
        ...env,
        BENCH_CONTROL_PORT: String(listener.addr.port),
      },
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
    try {
      const connection = await Promise.race([
        listener.accept().catch(() => undefined),
        child.status.then(() => undefined),
      ]);
      if (connection === undefined) throw invalid(`${entry} did not start`);
      const control = new Control(connection);
      return new ServerProcess(port, child, control, [await control.next(), await control.next()]);
    } finally {
      clearTimeout(timer);
    }
  }

  used(): Promise<Used> {
    return this.#control.ask("u");
  }

  /** The usage after a garbage collection. */
  usedAfterCollection(): Promise<Used> {
    return this.#control.ask("c");
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#control.close();
  }
}

/** The part of this process's environment that every measured process gets. */
export function inheritedEnv(): Record<string, string> {
  const inherited = INHERITED.flatMap((name): [string, string][] => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(inherited);
}

function serverEnv(modelPort: number, port: number): Record<string, string> {
  return {
    ...inheritedEnv(),
    ...ENVIRONMENT,
    OPENROUTER_BASE_URL: `http://127.0.0.1:${modelPort}`,
    DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
    DENO_NO_UPDATE_CHECK: "1",
  };
}

/**
 * A free port below the range for outgoing connections on Linux (from 32768). A port in that range could be taken by
 * the server's own connection to us.
 */
function freePort(): number {
  while (true) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

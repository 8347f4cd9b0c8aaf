/** A server in a process of its own, and what it has used. */

import { invalid } from "../report/invalid.ts";
import { Control } from "./control.ts";
import type { Used } from "./host.ts";

const HOST = new URL("host.ts", import.meta.url);
const START_TIMEOUT_MS = 20_000;

/** Both sides get the same; our build alone reads the names below the first. Limits are off, the log is as it is. */
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
/** What Deno itself needs to find what it has cached. */
const INHERITED = ["HOME", "PATH", "DENO_DIR", "XDG_CACHE_HOME", "NPM_CONFIG_REGISTRY", "TMPDIR"];

export interface ServerOptions {
  modelPort: number;
  /** Flags of `deno run`. */
  flags?: readonly string[];
  /** Over what all get. */
  env?: Readonly<Record<string, string>>;
}

export class ServerProcess {
  readonly port: number;
  /** What was used before the entry was loaded, and after. */
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

  /** Starts `entry`, a path from `bench/host/`; settles when it has been loaded and listens. */
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

  /** The same, after a collection. */
  usedAfterCollection(): Promise<Used> {
    return this.#control.ask("c");
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#control.close();
  }
}

/** The part of this process's environment that every process under measurement gets. */
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
 * One that is free, below those that Linux gives to outgoing connections (from 32768): one of them could be the
 * server's own connection to us.
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

/** A server in a process of its own, and what it has used. */

import { invalid } from "../report/invalid.ts";
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
  MAX_SESSIONS: "0",
};
/** What Deno itself needs to find what it has cached. */
const INHERITED = ["HOME", "PATH", "DENO_DIR", "XDG_CACHE_HOME", "NPM_CONFIG_REGISTRY", "TMPDIR"];

export interface ServerOptions {
  modelPort: number;
  /** Flags of `deno run`. */
  flags?: readonly string[];
}

export class ServerProcess {
  readonly port: number;
  /** What was used before the entry was loaded, and after. */
  readonly atStart: Used;
  readonly atImport: Used;
  readonly #child: Deno.ChildProcess;
  readonly #control: Deno.Conn;
  readonly #lines: () => Promise<Used>;

  private constructor(
    port: number,
    child: Deno.ChildProcess,
    control: { connection: Deno.Conn; lines: () => Promise<Used> },
    [atStart, atImport]: readonly [Used, Used],
  ) {
    this.port = port;
    this.#child = child;
    this.#control = control.connection;
    this.#lines = control.lines;
    this.atStart = atStart;
    this.atImport = atImport;
  }

  /** Starts `entry`, a path from `bench/host/`; settles when it has been loaded and listens. */
  static async start(entry: string, { modelPort, flags = [] }: ServerOptions): Promise<ServerProcess> {
    const port = freePort();
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", ...flags, HOST.href, entry],
      clearEnv: true,
      env: {
        ...serverEnv(modelPort, port),
        BENCH_CONTROL_PORT: String(listener.addr.port),
      },
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
    void child.status.then(() => listener.close()).catch(() => {});
    try {
      const connection = await listener.accept();
      const lines = reader(connection);
      return new ServerProcess(port, child, { connection, lines }, [await lines(), await lines()]);
    } catch {
      throw invalid(`${entry} did not start`);
    } finally {
      clearTimeout(timer);
    }
  }

  async used(): Promise<Used> {
    return await this.#ask("c");
  }

  /** The same, after a collection. */
  async usedAfterCollection(): Promise<Used> {
    return await this.#ask("h");
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    this.#control.close();
  }

  async #ask(what: "c" | "h"): Promise<Used> {
    await this.#control.write(new TextEncoder().encode(what));
    return await this.#lines();
  }
}

export function serverEnv(modelPort: number, port: number): Record<string, string> {
  const inherited = INHERITED.flatMap((name): [string, string][] => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(inherited),
    ...ENVIRONMENT,
    OPENROUTER_BASE_URL: `http://127.0.0.1:${modelPort}`,
    DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
    DENO_NO_UPDATE_CHECK: "1",
  };
}

/** One that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

function reader(connection: Deno.Conn): () => Promise<Used> {
  const chunks = connection.readable.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return async () => {
    let end: number;
    while ((end = text.indexOf("\n")) < 0) {
      const { done, value } = await chunks.read();
      if (done) throw invalid("a server has died");
      text += value;
    }
    const line = text.slice(0, end);
    text = text.slice(end + 1);
    return JSON.parse(line);
  };
}

/** Runs `agent_websocket` in its own process, as `deno run` does: no gateway or EdgeRuntime in front of it. */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { lockArgs } from "../../local/lock_args.ts";
import { bareEnv, eventually } from "./local_stack.ts";
import { urlOf } from "./source_files.ts";

/** Marks a line of control output from `serve_function.ts`. */
const RECORD_SEPARATOR = "\x1e";
/** Limit for the start of a process. Deno 2.1.4 takes 0.3 s on an idle machine. */
const BOOT_TIMEOUT_MS = 20_000;
const SERVE_FUNCTION = urlOf("tests/fixtures/serve_function.ts");

export interface AgentProcessOptions {
  /** Overrides {@linkcode DEFAULT_ENV}. */
  env?: Readonly<Record<string, string>>;
  /** Path of the Deno to run it with. Default: the one that runs the tests. */
  deno?: string;
  /** The folder with `index.ts` and `deno.json`. Default: the project's own. */
  directory?: URL;
  /** The folder is of `deno task bundle`: it has `index.js`, and no `deno.json`. */
  isBundle?: boolean;
  /**
   * Size limit of V8's old space, in MiB. A process that needs more is killed. Default: the limit of a worker on the
   * platform.
   */
  heapMib?: number;
  /** Runs `index.ts` itself as the main module, without any test code in its process. Needs Deno 2.2 or later. */
  plain?: boolean;
}

/** No authentication, no rate limits, and no model that answers. */
export const DEFAULT_ENV: Readonly<Record<string, string>> = {
  AUTH_MODE: "none",
  RATE_LIMIT_PER_MINUTE: "0",
  MAX_CONNECTIONS_PER_ADDRESS: "0",
  ANONYMOUS_SESSIONS_PER_HOUR: "0",
  OPENROUTER_BASE_URL: "http://127.0.0.1:9/api/v1",
};

/** One line of the function's log. */
export interface LogLine {
  time: string;
  level: string;
  event: string;
  [field: string]: unknown;
}

export interface AgentMemory {
  rss: number;
  heapUsed: number;
  external: number;
}

export class AgentProcess implements AsyncDisposable {
  /** Everything it printed, one entry per line. */
  readonly output: string[] = [];
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #told: Record<string, unknown>[] = [];
  #port = 0;

  constructor(
    { env = {}, deno = Deno.execPath(), directory, isBundle = false, heapMib = 256, plain = false }:
      AgentProcessOptions,
  ) {
    const folder = directory ?? urlOf("supabase/functions/agent_websocket/");
    const entry = new URL(isBundle ? "index.js" : "index.ts", folder);
    this.#child = new Deno.Command(deno, {
      args: [
        "run",
        ...(directory === undefined ? lockArgs("agent_websocket", deno) : ["--no-lock"]),
        "--no-prompt",
        // The function's own import map, as it is deployed.
        isBundle ? "--no-config" : `--config=${fileURLToPath(new URL("deno.json", folder))}`,
        "--allow-net",
        "--allow-env",
        ...(plain ? [entry.href] : [
          // A dynamic import that is not in the main module needs read permission.
          `--allow-read=${fileURLToPath(new URL("../", folder))}`,
          `--v8-flags=--expose-gc,--max-old-space-size=${heapMib}`,
          SERVE_FUNCTION.href,
          entry.href,
        ]),
      ],
      cwd: fileURLToPath(folder),
      clearEnv: true,
      env: {
        ...bareEnv(),
        DENO_TLS_CA_STORE: "mozilla,system",
        DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0",
        ...DEFAULT_ENV,
        ...env,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    const read = [this.#child.stdout, this.#child.stderr].map(async (stream) => {
      for await (const line of createInterface({ input: Readable.fromWeb(stream) })) this.#onLine(line);
    });
    this.ended = Promise.all([this.#child.status, ...read]).then(async ([status]) => {
      await this.#stdin.close().catch(() => {});
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The URL of the function, with the path that the platform uses. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}/agent_websocket`;
  }

  get wsUrl(): string {
    return this.url.replace("http", "ws");
  }

  get port(): number {
    return this.#port;
  }

  /** The lines of its log. Fails if it printed anything else. */
  get log(): LogLine[] {
    return this.output.filter((line) => !line.startsWith("Listening on ")).map((line) => JSON.parse(line));
  }

  /** Resolves when the function accepts requests. */
  async listening(): Promise<void> {
    let isGone = false;
    this.ended.then(() => isGone = true);
    this.#port = await eventually("the port of the function", () => {
      assert.ok(!isGone, "the function ended before it served");
      const told = this.#told.find(({ port }) => typeof port === "number");
      const printed = this.output.map((line) => /^Listening on .*:(\d+)\/?$/.exec(line)?.[1]).find(Boolean);
      return Number(told?.port ?? printed ?? 0) || undefined;
    }, BOOT_TIMEOUT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.ended;
  }

  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // The process has exited already.
    }
  }

  /** Memory use of the process after a full garbage collection. */
  async memory(): Promise<AgentMemory> {
    const before = this.#told.length;
    await this.#stdin.write(new TextEncoder().encode("memory\n"));
    const answer = await eventually("what the function's process holds", () => this.#told[before], 20_000);
    return answer.memory as AgentMemory;
  }

  /** Its current resident memory in bytes, including garbage. Linux only. */
  rssBytes(): number {
    const status = Deno.readTextFileSync(`/proc/${this.pid}/status`);
    return 1024 * Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1]);
  }

  /** The JSON body of `/health`. */
  async health(): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.url}/health`);
    assert.equal(response.status, 200);
    return await response.json();
  }

  #onLine(line: string): void {
    if (line.startsWith(RECORD_SEPARATOR)) this.#told.push(JSON.parse(line.slice(RECORD_SEPARATOR.length)));
    else if (line !== "") this.output.push(line);
  }
}

/** Runs `body` with its own process, then stops the process. If `body` fails, the process's output is printed. */
export async function withAgent<T>(
  options: AgentProcessOptions,
  body: (agent: AgentProcess) => Promise<T>,
): Promise<T> {
  await using agent = new AgentProcess(options);
  try {
    await agent.listening();
    return await body(agent);
  } catch (error) {
    Deno.stderr.writeSync(new TextEncoder().encode(`${agent.output.slice(-50).join("\n")}\n`));
    throw error;
  }
}

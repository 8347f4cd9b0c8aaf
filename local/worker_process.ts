/** One worker process, as the stack sees it. */

import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { importMapWith } from "./import_map.ts";
import { lockArgs } from "./lock_args.ts";
import {
  type ActivityAsk,
  type FromWorker,
  RECORD_SEPARATOR,
  TEST_HOOKS,
  type ToWorker,
  type WatcherInfo,
} from "./worker_messages.ts";

/** The heap size of V8 in a worker, as on the platform. */
const HEAP_MB = 256;
const WORKER_SCRIPT = new URL("./worker.ts", import.meta.url);

export interface FunctionSource {
  /** The last part of its URL. */
  name: string;
  /** The folder with its `index.ts` and `deno.json`. */
  directory: URL;
  /** The file that takes the place of its `agent.ts`. */
  agentFile?: URL;
}

export interface WorkerProcessOptions {
  /** The Deno to run it with. */
  denoPath: string;
  /** The whole environment of the process: nothing is inherited. */
  env: Readonly<Record<string, string>>;
  /** Whether it answers the test hooks. */
  testHooks: boolean;
  /** A line that the function printed. */
  onOutput(line: string, stream: "stdout" | "stderr"): void;
  onQuiet(quiet: boolean): void;
}

/** How a process ended: by itself with a code, or by a signal. */
export interface Death {
  code: number;
  signal: Deno.Signal | null;
}

/** Starts at once; {@linkcode listening} resolves when it serves. */
export class WorkerProcess {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  /** Commands without an answer yet. */
  readonly #asked = new Map<number, (watchers: WatcherInfo[] | undefined) => void>();
  #asks = 0;
  readonly #listening = Promise.withResolvers<number>();
  /** The loopback port that the function serves on. Rejects if the process ends before that. */
  readonly listening: Promise<number> = this.#listening.promise;
  /** Resolves when the process has ended and its last output was read. */
  readonly ended: Promise<Death>;

  constructor(source: FunctionSource, options: WorkerProcessOptions) {
    const { directory, agentFile } = source;
    const readable = [new URL("../", directory), ...(agentFile ? [new URL("./", agentFile)] : [])];
    const child = new Deno.Command(options.denoPath, {
      args: [
        "run",
        "--quiet",
        ...lockArgs(source.name, options.denoPath),
        "--no-prompt",
        // The function's own import map, not the project's: deployed code must not depend on the project's map.
        `--config=${fileURLToPath(new URL("deno.json", directory))}`,
        ...(agentFile === undefined ? [] : [`--import-map=${importMapWith(agentFile, directory)}`]),
        "--allow-net",
        "--allow-env",
        `--allow-read=${readable.map((folder) => fileURLToPath(folder)).join(",")}`,
        `--v8-flags=--max-old-space-size=${HEAP_MB}`,
        WORKER_SCRIPT.href,
        new URL("index.ts", directory).href,
        ...(options.testHooks ? [TEST_HOOKS] : []),
      ],
      env: { ...options.env },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stdin = child.stdin.getWriter();
    this.#child = child;
    this.#stdin = stdin;
    // Callers that await the port handle the failure. Possibly there is none yet.
    this.listening.catch(() => {});
    const stdout = readLines(child.stdout, (line) => {
      const at = line.indexOf(RECORD_SEPARATOR);
      if (at < 0) return options.onOutput(line, "stdout");
      if (at > 0) options.onOutput(line.slice(0, at), "stdout");
      const message: FromWorker = JSON.parse(line.slice(at + 1));
      if (message.type === "listening") this.#listening.resolve(message.port);
      else if (message.type === "quiet") options.onQuiet(message.quiet);
      else this.#asked.get(message.id)?.(message.watchers);
    });
    const stderr = readLines(child.stderr, (line) => options.onOutput(line, "stderr"));
    this.ended = (async () => {
      const { code, signal } = await child.status;
      await Promise.all([stdout, stderr, stdin.close().catch(() => {})]);
      this.#listening.reject(new Error(`Cannot boot ${source.name}: ${describe({ code, signal })}`));
      return { code, signal };
    })();
  }

  get pid(): number {
    return this.#child.pid;
  }

  tell(message: ToWorker): void {
    // A message to a worker that has exited is lost; `ended` reports the exit.
    this.#stdin.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`)).catch(() => {});
  }

  /** The answer of its live-activity hub; undefined if there is none, or if the process ends first. */
  askActivity(ask: ActivityAsk): Promise<WatcherInfo[] | undefined> {
    const id = ++this.#asks;
    const { promise, resolve } = Promise.withResolvers<WatcherInfo[] | undefined>();
    this.#asked.set(id, resolve);
    void this.ended.then(() => resolve(undefined));
    this.tell({ type: "activity", id, ask });
    return promise.finally(() => this.#asked.delete(id));
  }

  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // The process had already ended.
    }
  }
}

export function describe({ code, signal }: Death): string {
  return signal === null ? `exit code ${code}` : `killed by ${signal}`;
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: Readable.fromWeb(stream) })) onLine(line);
}

/**
 * The workers of one function: which worker gets the next request, and when each begins and ends, as on the platform.
 */

import { type Death, describe, type FunctionSource, WorkerProcess } from "./worker_process.ts";
import type { ActivityAsk, UnloadReason, WatcherInfo } from "./worker_messages.ts";

const FIRST_RESTART_DELAY_MS = 100;
const MAX_RESTART_DELAY_MS = 5000;
/** A worker that lived this long did not die at boot: the next restart is quick again. */
const STABLE_AFTER_MS = 10_000;
/** How long the `beforeunload` handlers of a retired worker may delay its end. */
const EARLY_DROP_GRACE_MS = 1000;

/**
 * `booting` → `live` → `retired` (gets no new requests) → `ending` → removed. The worker of a crashed process is
 * removed at once.
 */
export type WorkerState = "booting" | "live" | "retired" | "ending";

/** An entry of `GET /__local/workers`. */
export interface WorkerStatus {
  function: string;
  /** Counts from 1 in each function, and is never reused. */
  worker: number;
  state: WorkerState;
  pid: number;
  /** Milliseconds since its process was started. */
  ageMs: number;
}

export interface WorkerPoolOptions {
  source: FunctionSource;
  denoPath: string;
  /** The environment of each worker; `SB_EXECUTION_ID` is added. */
  env: Readonly<Record<string, string>>;
  /** How many workers accept requests at a time. With 0 the first request starts one, as on the platform. */
  size: number;
  /** Whether the workers answer the test hooks. */
  testHooks: boolean;
  /** How long a worker lives, in milliseconds; 0 for as long as the stack. */
  wallClockMs: number;
  /** One line: output of a function, or an event of a worker, marked with its name and number. */
  onLog(line: string, stream: "stdout" | "stderr"): void;
}

/** A request's lease of the worker that was chosen for it. */
export interface WorkerLease {
  port: number;
  /** The worker has answered: from now on it counts its open requests itself. A second call does nothing. */
  answered(): void;
  /** How the process ended, if it ends within `waitMs` milliseconds. */
  death(waitMs: number): Promise<WorkerDeath | undefined>;
}

/** `limit`: ended by a platform limit (memory, wall clock); `error`: ended by its own error. */
export type WorkerDeath = "error" | "limit";

/** No worker could be started for a request. */
export class BootError extends Error {
  override readonly name = "BootError";
}

type Timer = ReturnType<typeof setTimeout>;

interface Worker {
  number: number;
  process: WorkerProcess;
  state: WorkerState;
  startedAt: number;
  port: number;
  /** Requests sent to it that it has not answered yet. It may not even have received them. */
  unanswered: number;
  quiet: boolean;
  /** The reason for its expected end, if any. */
  expected?: string;
  /** Killed by a test: the next worker starts without a delay. */
  isDisturbed?: true;
  died: Promise<WorkerDeath>;
  timers: Timer[];
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #workers = new Set<Worker>();
  #started = 0;
  #turn = 0;
  #restartDelayMs = FIRST_RESTART_DELAY_MS;
  #restartTimer: Timer | undefined;
  #stopping = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Starts the first workers. Rejects with {@linkcode BootError} if none can boot. */
  async start(): Promise<void> {
    this.#fill();
    if (this.#options.size > 0) await this.#readyWorker();
  }

  /** The next worker in turn, started if necessary. Rejects with {@linkcode BootError}. */
  async lease(): Promise<WorkerLease> {
    const worker = await this.#readyWorker();
    let waiting = true;
    worker.unanswered++;
    return {
      port: worker.port,
      answered: () => {
        if (!waiting) return;
        waiting = false;
        worker.unanswered--;
        this.#dropIfDone(worker);
      },
      death: async (waitMs) => {
        let timer: Timer | undefined;
        const tooLate = new Promise<undefined>((resolve) =>
          timer = setTimeout(() => resolve(undefined), waitMs)
        );
        return await Promise.race([worker.died, tooLate]).finally(() => clearTimeout(timer));
      },
    };
  }

  /**
   * Makes a worker rotate or die: `beforeunload` retires it with `reason`, `kill` ends its process at once. Without
   * `number`, it takes the oldest worker that accepts requests. Returns whether there was such a worker.
   */
  disturb(action: "beforeunload" | "kill", { number, reason = "wall_clock" }: DisturbOptions = {}): boolean {
    const worker = [...this.#workers].find((one) =>
      number === undefined ? one.state === "live" : one.number === number
    );
    if (worker === undefined) return false;
    if (action === "kill") {
      worker.isDisturbed = true;
      // Its port may accept connections for a short time.
      worker.state = "ending";
      worker.process.kill();
    } else {
      this.#retire(worker);
      worker.process.tell({ type: "beforeunload", reason });
    }
    return true;
  }

  status(): WorkerStatus[] {
    return [...this.#workers].map(({ number, state, process, startedAt }) => ({
      function: this.#options.source.name,
      worker: number,
      state,
      pid: process.pid,
      ageMs: Math.round(performance.now() - startedAt),
    }));
  }

  /**
   * Sends a command to the live-activity hub of every worker that has one. Returns the watchers of each, by worker
   * number.
   */
  async askActivity(ask: ActivityAsk): Promise<Map<number, WatcherInfo[]>> {
    const answers = await Promise.all(
      [...this.#workers].map(async ({ number, process }) => ({
        number,
        watchers: await process.askActivity(ask),
      })),
    );
    return new Map(
      answers.flatMap(({ number, watchers }): [number, WatcherInfo[]][] =>
        watchers === undefined ? [] : [[number, watchers]]
      ),
    );
  }

  /** Sends `termination` to every worker, and kills the remaining workers after `graceMs` milliseconds. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    const workers = [...this.#workers];
    for (const worker of workers) this.#end(worker, "termination", graceMs);
    // The worker has the same time limit itself. A little more time here, so that it is not killed while it exits.
    const timer = setTimeout(() => workers.forEach((worker) => worker.process.kill()), graceMs + 500);
    await Promise.all(workers.map(({ process }) => process.ended));
    clearTimeout(timer);
  }

  async #readyWorker(): Promise<Worker> {
    while (!this.#stopping) {
      const live = [...this.#workers].filter(({ state }) => state === "live");
      const next = live[this.#turn++ % live.length];
      if (next !== undefined) return next;
      // A request does not wait for the restart delay: the error may just have been fixed.
      const booting = [...this.#workers].find(({ state }) => state === "booting") ?? this.#spawn();
      try {
        await booting.process.listening;
      } catch (cause) {
        throw new BootError(`Cannot boot a worker of ${this.#options.source.name}`, { cause });
      }
    }
    throw new BootError(`Cannot boot a worker of ${this.#options.source.name}: the stack is stopping`);
  }

  #fill(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
    const taking = [...this.#workers].filter(({ state }) => state === "live" || state === "booting");
    for (let count = taking.length; count < this.#options.size; count++) this.#spawn();
  }

  #spawn(): Worker {
    const { source, denoPath, env, testHooks, onLog } = this.#options;
    const number = ++this.#started;
    const process = new WorkerProcess(source, {
      denoPath,
      env: { ...env, SB_EXECUTION_ID: crypto.randomUUID() },
      testHooks,
      onOutput: (line, stream) => onLog(this.#mark(number, line), stream),
      onQuiet: (quiet) => {
        worker.quiet = quiet;
        this.#dropIfDone(worker);
      },
    });
    const worker: Worker = {
      number,
      process,
      state: "booting",
      startedAt: performance.now(),
      port: 0,
      unanswered: 0,
      quiet: false,
      died: process.ended.then((death) => this.#bury(worker, death)),
      timers: [],
    };
    this.#workers.add(worker);
    process.listening.then((port) => {
      worker.port = port;
      if (worker.state === "booting") worker.state = "live";
    }, () => {});
    this.#scheduleEnd(worker);
    return worker;
  }

  #scheduleEnd(worker: Worker): void {
    const { wallClockMs } = this.#options;
    if (wallClockMs === 0) return;
    worker.timers = [
      setTimeout(() => this.#retire(worker), wallClockMs * 0.5),
      setTimeout(
        () => worker.process.tell({ type: "beforeunload", reason: "wall_clock" }),
        wallClockMs * 0.9,
      ),
      setTimeout(() => {
        worker.expected = "killed: wall clock";
        worker.process.kill();
      }, wallClockMs),
    ];
  }

  #retire(worker: Worker): void {
    if (worker.state !== "live" && worker.state !== "booting") return;
    worker.state = "retired";
    worker.process.tell({ type: "retire" });
    if (!this.#stopping) this.#fill();
  }

  #dropIfDone(worker: Worker): void {
    if (worker.state !== "retired" || !worker.quiet || worker.unanswered > 0) return;
    this.#end(worker, "early_drop", EARLY_DROP_GRACE_MS);
  }

  #end(worker: Worker, reason: UnloadReason, graceMs: number): void {
    worker.state = "ending";
    worker.expected = `ended: ${reason}`;
    worker.process.tell({ type: "end", reason, graceMs });
  }

  #bury(worker: Worker, death: Death): WorkerDeath {
    const { onLog } = this.#options;
    this.#workers.delete(worker);
    worker.timers.forEach(clearTimeout);
    const booted = worker.port !== 0;
    if (worker.expected === undefined) {
      const what = booted ? "crashed" : "could not boot";
      onLog(this.#mark(worker.number, `${what}: ${describe(death)}`), "stderr");
    } else if (!this.#stopping) {
      onLog(this.#mark(worker.number, worker.expected), "stdout");
    }
    if (performance.now() - worker.startedAt > STABLE_AFTER_MS) this.#restartDelayMs = FIRST_RESTART_DELAY_MS;
    // A worker that cannot boot is tried again by the next request, not automatically forever.
    if (booted && !this.#stopping && this.#restartTimer === undefined) {
      this.#restartTimer = setTimeout(() => this.#fill(), this.#restartDelayMs);
      if (worker.isDisturbed !== true) {
        this.#restartDelayMs = Math.min(this.#restartDelayMs * 2, MAX_RESTART_DELAY_MS);
      }
    }
    return death.signal === null ? "error" : "limit";
  }

  #mark(number: number, line: string): string {
    return `[${this.#options.source.name}#${number}] ${line}`;
  }
}

export interface DisturbOptions {
  number?: number;
  reason?: UnloadReason;
}

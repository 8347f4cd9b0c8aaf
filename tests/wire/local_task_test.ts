/** `deno task dev` as a process: its start, its output, its end. */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { type AgentClient, connect, of } from "../support/agent_client.ts";
import { bareEnv, eventually } from "../support/local_stack.ts";

const PROJECT_ROOT = new URL("../../", import.meta.url);

/** A stack in its own process. Every process of it has a mark in its environment. */
class DevTask implements AsyncDisposable {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly #mark = `LOCAL_TEST_RUN=${crypto.randomUUID()}`;
  readonly #child: Deno.ChildProcess;
  /** The machine's other processes: to read about each again and again takes more CPU than the test. */
  readonly #others = new Set<string>();
  /** The exit code, after both output streams were read to their end. */
  readonly ended: Promise<number>;

  constructor(env: Record<string, string>, command: readonly string[] = [Deno.execPath()]) {
    const [name = "", value = ""] = this.#mark.split("=");
    const [program = "", ...args] = command;
    const child = new Deno.Command(program, {
      args: [...args, "task", "dev"],
      cwd: PROJECT_ROOT,
      clearEnv: true,
      // Set but empty, so that the developer's own `.env` is ignored.
      env: {
        ...bareEnv(),
        PORT: "0",
        OPENROUTER_API_KEY: "",
        OPENROUTER_BASE_URL: "",
        AUTH_MODE: "",
        ...env,
        [name]: value,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#child = child;
    this.ended = Promise.all([
      child.status,
      collect(child.stdout, this.stdout),
      collect(child.stderr, this.stderr),
    ])
      .then(([{ code }]) => code);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async ready(): Promise<string> {
    const line = await eventually(
      "the line `ready <url>`",
      () => this.stdout.find((line) => line.startsWith("ready ")),
      30_000,
    );
    return line.slice("ready ".length);
  }

  /** The running processes of this run: `deno task`, the stack, its workers. */
  async processes(): Promise<number[]> {
    const found: number[] = [];
    for await (const { name } of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(name) || this.#others.has(name)) continue;
      const environment = await Deno.readTextFile(`/proc/${name}/environ`).catch(() => "");
      if (environment.includes(this.#mark)) found.push(Number(name));
      // A child has the mark from its first moment on, so this process never gets it.
      else if (environment !== "") this.#others.add(name);
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of await this.processes()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has just exited.
      }
    }
    await this.ended;
  }
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  for await (const line of createInterface({ input: Readable.fromWeb(stream) })) lines.push(line);
}

/** Two clients of a stack: an idle one, and one in the middle of a long answer. */
async function startTalking(url: string): Promise<{ idle: AgentClient; busy: AgentClient }> {
  const agent = `${url.replace("http", "ws")}/functions/v1/agent_websocket`;
  const idle = await connect(agent);
  const busy = await connect(`${agent}?stream=true`);
  busy.ask("Tell me a long story");
  await busy.waitFor(of("delta"));
  return { idle, busy };
}

/** Asserts that the stack says what it runs, with which keys, and how to talk to it. */
async function assertWelcome({ stdout }: DevTask, url: string): Promise<void> {
  const welcome = stdout.join("\n");
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(welcome, /model +the local mock/);
  assert.match(welcome, /AUTH_MODE +optional/);
  assert.match(welcome, /sb_publishable_local_development/);
  await eventually(
    "the line for wscat",
    () => stdout.some((line) => line.includes(`wscat -c "${url.replace("http", "ws")}/functions/v1/`)),
  );
}

/** Asserts that the stopped stack leaves no process after five seconds, and that both clients were notified. */
async function assertEnd(
  task: DevTask,
  { idle, busy }: Awaited<ReturnType<typeof startTalking>>,
): Promise<void> {
  const before = performance.now();
  const [idleEnd, busyEnd] = await Promise.all([idle.end(), busy.end()]);
  assert.deepEqual([idleEnd.code, busyEnd.code], [1012, 1012]);
  assert.ok(idle.frames.some(of("notification", "reconnecting")));
  assert.ok(busy.frames.some(of("notification", "reconnecting")));
  await eventually("the end of every process", async () => (await task.processes()).length === 0, 6000);
  const took = performance.now() - before;
  assert.ok(took < 5000, `${took} ms`);
}

interface Ending {
  /** The command that started the stack. */
  by: "npx" | "deno task";
  /** The process that gets the signal. */
  target: "npx" | "deno task" | "the stack" | "all of them";
  signal: Deno.Signal;
  /** Where sessions are stored. With `memory` the stack has no database. */
  store: "memory" | "postgres";
}

function commandOf(by: Ending["by"]): string[] {
  return by === "npx" ? ["npx", "-y", `deno@${Deno.version.deno}`] : [Deno.execPath()];
}

const ENDINGS: readonly Ending[] = [
  { by: "npx", target: "npx", signal: "SIGTERM", store: "memory" },
  { by: "deno task", target: "deno task", signal: "SIGTERM", store: "memory" },
  { by: "deno task", target: "the stack", signal: "SIGTERM", store: "memory" },
  { by: "deno task", target: "the stack", signal: "SIGTERM", store: "postgres" },
  { by: "deno task", target: "deno task", signal: "SIGINT", store: "memory" },
  { by: "deno task", target: "the stack", signal: "SIGINT", store: "memory" },
  { by: "deno task", target: "deno task", signal: "SIGKILL", store: "memory" },
  // As a terminal sends them: Ctrl+C, or the terminal is closed.
  { by: "npx", target: "all of them", signal: "SIGINT", store: "postgres" },
  { by: "deno task", target: "all of them", signal: "SIGHUP", store: "memory" },
];

for (const { by, target, signal, store } of ENDINGS) {
  Deno.test(`[CL1] [CL3] deno task dev, started by ${by}: ${signal} to ${target} tells everyone and ends everything (${store})`, async () => {
    await using task = new DevTask(store === "memory" ? { DATABASE_URL: "none" } : {}, commandOf(by));
    const url = await task.ready();
    await assertWelcome(task, url);
    const all = await task.processes();
    assert.ok(all.length >= (by === "npx" ? 5 : 3), `deno task, the stack, a worker: ${all}`);
    const { idle, busy } = await startTalking(url);
    const stack = all.find((pid) => parentOf(pid) === task.pid);
    assert.ok(stack !== undefined);
    const pids = target === "all of them" ? all : [target === "the stack" ? stack : task.pid];
    for (const pid of pids) Deno.kill(pid, signal);
    await assertEnd(task, { idle, busy });
    if (store === "memory") {
      const error = busy.frames.find(of("error", "interrupted"));
      assert.match(String(error?.partial), /^# The lighthouse/);
    }
    const code = await task.ended;
    const complaints = [...task.stdout, ...task.stderr].filter((line) => /"level":"(warn|error)"/.test(line));
    assert.deepEqual(complaints, [], "the database stopped before the workers");
    if (by === "deno task" && (signal === "SIGTERM" || signal === "SIGINT")) {
      assert.equal(code, 0, task.stderr.join("\n"));
    }
    await assert.rejects(fetch(url), TypeError);
  });
}

Deno.test("deno task dev: a second signal does not wait for a running answer", async () => {
  await using task = new DevTask({ DATABASE_URL: "none", DRAIN_TIMEOUT_MS: "60000" });
  const { idle, busy } = await startTalking(await task.ready());
  Deno.kill(task.pid, "SIGTERM");
  assert.equal((await idle.end()).code, 1012);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.equal(busy.closed, undefined);
  Deno.kill(task.pid, "SIGTERM");
  assert.equal(await task.ended, 1);
  await eventually("the end of every process", async () => (await task.processes()).length === 0);
  await busy.end();
});

for (const by of ["npx", "deno task"] as const) {
  Deno.test(`deno task dev, started by ${by}: it can be ended while it starts`, async () => {
    await using task = new DevTask({}, commandOf(by));
    // Wait for the stack itself, the last in the chain of processes.
    const isStack = async (pid: number): Promise<boolean> =>
      (await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "")).includes("local/main.ts");
    await eventually("the stack's process", async () => {
      const found = await Promise.all((await task.processes()).map(isStack));
      return found.includes(true);
    }, 30_000);
    Deno.kill(task.pid, "SIGTERM");
    await eventually("the end of every process", async () => (await task.processes()).length === 0, 20_000);
  });
}

Deno.test("deno task dev: workers end by themselves when the stack is killed", async () => {
  await using task = new DevTask({ DATABASE_URL: "none" });
  await task.ready();
  const stack = (await task.processes()).find((pid) => parentOf(pid) === task.pid);
  assert.ok(stack !== undefined);
  Deno.kill(stack, "SIGKILL");
  await eventually("the end of every process", async () => (await task.processes()).length === 0, 20_000);
});

Deno.test("deno task dev: a taken port is one clear line and exit code 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0, transport: "tcp" });
  const { port } = taken.addr;
  await using task = new DevTask({ PORT: String(port), DATABASE_URL: "none" });
  assert.equal(await task.ended, 1);
  assert.deepEqual(task.stdout, []);
  const complaint = `Cannot start: port ${port} is taken. Choose another one: PORT=54321 deno task dev`;
  assert.equal(task.stderr.at(-1), complaint);
});

Deno.test("deno task dev: every wrong setting is named, and exit code 1", async () => {
  await using task = new DevTask({ PORT: "65536", LOCAL_WORKERS: "0", LOCAL_WALL_CLOCK_MS: "soon" });
  assert.equal(await task.ended, 1);
  const complaint = task.stderr.at(-1) ?? "";
  assert.match(complaint, /^Cannot start: PORT must be a whole number from 0 to 65535, not "65536"; /);
  assert.match(complaint, /LOCAL_WORKERS must be a whole number from 1 to 32, not "0"/);
  assert.match(complaint, /LOCAL_WALL_CLOCK_MS must be .*, not "soon"/);
});

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
  } catch {
    return undefined;
  }
}

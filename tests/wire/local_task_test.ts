/** `deno task dev` as a process: how it starts, what it prints, how it ends. */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { bareEnv, eventually } from "../support/local_stack.ts";

const PROJECT_ROOT = new URL("../../", import.meta.url);

/** A stack in a process of its own, every process of which carries a mark in its environment. */
class DevTask implements AsyncDisposable {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly #mark = `LOCAL_TEST_RUN=${crypto.randomUUID()}`;
  readonly #child: Deno.ChildProcess;
  /** The exit code, once both streams were read to their end. */
  readonly ended: Promise<number>;

  constructor(env: Record<string, string>, command: readonly string[] = [Deno.execPath()]) {
    const [name = "", value = ""] = this.#mark.split("=");
    const [program = "", ...args] = command;
    const child = new Deno.Command(program, {
      args: [...args, "task", "dev"],
      cwd: PROJECT_ROOT,
      clearEnv: true,
      // Set but empty: whatever the developer's own `.env` says does not count.
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

  /** The processes of this run that are there now: `deno task`, the stack, its workers. */
  async processes(): Promise<number[]> {
    const found: number[] = [];
    for await (const { name } of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const environment = await Deno.readTextFile(`/proc/${name}/environ`).catch(() => "");
      if (environment.includes(this.#mark)) found.push(Number(name));
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of await this.processes()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has just gone.
      }
    }
    await this.ended;
  }
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  for await (const line of createInterface({ input: Readable.fromWeb(stream) })) lines.push(line);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  for (const target of ["deno task", "its child"]) {
    Deno.test(`deno task dev: ${signal} to ${target} ends everything`, async () => {
      await using task = new DevTask({});
      const url = await task.ready();
      const all = await task.processes();
      assert.ok(all.length >= 3, `deno task, the stack, a worker: ${all}`);
      const child = all.find((pid) => parentOf(pid) === task.pid);
      assert.ok(child !== undefined);
      const before = performance.now();
      Deno.kill(target === "deno task" ? task.pid : child, signal);
      assert.equal(await task.ended, 0, task.stderr.join("\n"));
      assert.ok(performance.now() - before < 5000);
      assert.deepEqual(await task.processes(), []);
      await assert.rejects(fetch(url), TypeError);
    });
  }
}

Deno.test("deno task dev: SIGTERM to the npx that started it ends everything", async () => {
  await using task = new DevTask({}, ["npx", "-y", "deno@2.9.6"]);
  await task.ready();
  assert.ok((await task.processes()).length >= 5, "npx, its shell, deno task, the stack, a worker");
  const before = performance.now();
  Deno.kill(task.pid, "SIGTERM");
  await task.ended;
  await eventually("the end of every process", async () => (await task.processes()).length === 0);
  assert.ok(performance.now() - before < 5000);
});

Deno.test("deno task dev: it can be ended while it starts", async () => {
  await using task = new DevTask({});
  await eventually("the stack's process", async () => (await task.processes()).length > 1, 30_000);
  Deno.kill(task.pid, "SIGTERM");
  await eventually("the end of every process", async () => (await task.processes()).length === 0, 5000);
});

Deno.test("deno task dev: says what it runs, with which keys, and how to talk to it", async () => {
  await using task = new DevTask({});
  const url = await task.ready();
  const welcome = task.stdout.join("\n");
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(welcome, /model +the local mock/);
  assert.match(welcome, /AUTH_MODE +optional/);
  assert.match(welcome, /sb_publishable_local_development/);
  await eventually(
    "the line for wscat",
    () => task.stdout.some((line) => line.includes(`wscat -c "${url.replace("http", "ws")}/functions/v1/`)),
  );
});

Deno.test("deno task dev: workers end by themselves when the stack is killed", async () => {
  await using task = new DevTask({});
  await task.ready();
  const stack = (await task.processes()).find((pid) => parentOf(pid) === task.pid);
  assert.ok(stack !== undefined);
  Deno.kill(stack, "SIGKILL");
  await eventually("the end of every process", async () => (await task.processes()).length === 0, 5000);
});

Deno.test("deno task dev: a taken port is one clear line and exit code 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0, transport: "tcp" });
  const { port } = taken.addr;
  await using task = new DevTask({ PORT: String(port) });
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

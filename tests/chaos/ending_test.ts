/** How `deno task chaos` ends: with its verdict, even if a part does not stop, and at any time on a signal. */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { bareEnv, eventually } from "../support/local_stack.ts";
import { urlOf } from "../support/source_files.ts";

class ChaosProcess implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly ended: Promise<number>;
  readonly #child: Deno.ChildProcess;

  constructor(...args: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "tests/chaos/main.ts", ...args],
      cwd: urlOf(""),
      clearEnv: true,
      env: { ...bareEnv(), NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = [this.#child.stdout, this.#child.stderr].map(async (stream) => {
      for await (const line of createInterface({ input: Readable.fromWeb(stream) })) this.lines.push(line);
    });
    this.ended = Promise.all([this.#child.status, ...read]).then(([{ code }]) => code);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async prints(line: RegExp): Promise<void> {
    await eventually(
      `${line} in\n${this.lines.join("\n")}`,
      () => this.lines.some((one) => line.test(one)),
      60_000,
    );
  }

  /** The process id of the PostgreSQL that it started. */
  postgres(): number {
    for (const { name } of Deno.readDirSync("/proc")) {
      const status = /^\d+$/.test(name) ? readStatus(name) : "";
      if (/^Name:\tpostgres$/m.test(status) && status.includes(`\nPPid:\t${this.pid}\n`)) return Number(name);
    }
    return assert.fail("it has no PostgreSQL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // The process has ended.
    }
    await this.ended;
  }
}

function readStatus(pid: string | number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return "";
  }
}

/** An ended process may stay in the list until it is reaped, which this test cannot do. */
async function assertGone(pid: number): Promise<void> {
  await eventually(`the end of ${pid}`, () => !/^State:\t[^ZX]/m.test(readStatus(pid)));
}

const VERDICT = /^UNEXPLAINED +0$/;

Deno.test("deno task chaos: a part that does not stop is named and killed, after the verdict", async () => {
  await using chaos = new ChaosProcess(
    "--calm",
    "--clients",
    "2",
    "--turns",
    "4",
    "--workers",
    "1",
    "--tools",
    "0",
  );
  await chaos.prints(/living, 2 clients/);
  const postgres = chaos.postgres();
  await chaos.prints(VERDICT);
  Deno.kill(postgres, "SIGSTOP");
  const code = await chaos.ended;
  assert.equal(chaos.lines.at(-1), "did not stop: PostgreSQL (not within 6000 ms)", chaos.lines.join("\n"));
  assert.equal(code, 0, "the verdict counts");
  await assertGone(postgres);
});

Deno.test("deno task chaos: SIGTERM prints the table so far, and leaves nothing behind", async () => {
  await using chaos = new ChaosProcess("--clients", "2", "--turns", "5000");
  await chaos.prints(/living, 2 clients/);
  const postgres = chaos.postgres();
  Deno.kill(chaos.pid, "SIGTERM");
  await chaos.prints(VERDICT);
  assert.ok(chaos.lines.some((line) => /^interrupted +what was not over is not judged$/.test(line)));
  assert.equal(await chaos.ended, 130, chaos.lines.join("\n"));
  await assertGone(postgres);
});

Deno.test("deno task chaos: SIGTERM while it starts ends it", async () => {
  await using chaos = new ChaosProcess("--clients", "2", "--turns", "5000");
  await chaos.prints(/^seed /);
  Deno.kill(chaos.pid, "SIGTERM");
  assert.equal(await chaos.ended, 130, chaos.lines.join("\n"));
});

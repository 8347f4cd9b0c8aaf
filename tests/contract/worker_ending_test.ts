/** The shutdown of a worker on plain Deno: real signals to a real process. */

import assert from "node:assert/strict";

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal}: the sockets are told, then the process ends by itself, with 0`, async () => {
    await using worker = await startWorker("closes");
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(worker.port)));
    worker.kill(signal);
    for (const { closed } of sockets) assert.deepEqual(await closed, { code: 1012, reason: signal });
    assert.equal(await worker.exitCode, 0);
  });
}

Deno.test("a drain that rejects ends the process all the same, with 1", async () => {
  await using worker = await startWorker("rejects");
  worker.kill("SIGTERM");
  assert.equal(await worker.exitCode, 1);
});

Deno.test("a second signal does not wait for a drain that hangs", async () => {
  await using worker = await startWorker("hangs");
  worker.kill("SIGINT");
  const { event, reason } = await worker.nextEntry();
  assert.deepEqual([event, reason], ["draining", "SIGINT"]);
  worker.kill("SIGINT");
  assert.equal(await worker.exitCode, 1);
});

interface Worker extends AsyncDisposable {
  readonly port: number;
  readonly exitCode: Promise<number>;
  kill(signal: Deno.Signal): void;
  /** The next entry of its log. */
  nextEntry(): Promise<Readonly<Record<string, unknown>>>;
}

async function startWorker(how: "closes" | "rejects" | "hangs"): Promise<Worker> {
  const script = new URL("../support/ending_worker.ts", import.meta.url);
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-lock", "--allow-net=127.0.0.1", script.pathname, how],
    stdout: "piped",
  }).spawn();
  const output = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  async function nextEntry(): Promise<Readonly<Record<string, unknown>>> {
    while (!pending.includes("\n")) {
      const { value, done } = await output.read();
      if (done) throw new Error("The worker ended");
      pending += value;
    }
    const end = pending.indexOf("\n");
    const line = pending.slice(0, end);
    pending = pending.slice(end + 1);
    return JSON.parse(line);
  }
  let ended = false;
  const exitCode = process.status.then(({ code }) => {
    ended = true;
    return code;
  });
  const { port } = await nextEntry();
  return {
    port: Number(port),
    exitCode,
    kill: (signal) => process.kill(signal),
    nextEntry,
    async [Symbol.asyncDispose](): Promise<void> {
      // A failed test may have left it running.
      if (!ended) process.kill("SIGKILL");
      await exitCode;
      await output.cancel();
    },
  };
}

interface Connected {
  readonly closed: Promise<{ code: number; reason: string }>;
}

async function connect(port: number): Promise<Connected> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onclose = ({ code, reason }): void => resolve({ code, reason });
  });
  await new Promise((resolve) => socket.onopen = resolve);
  return { closed };
}

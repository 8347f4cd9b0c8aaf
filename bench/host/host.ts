/**
 * Runs in the measured process, in the same way for both sides: loads the server, then reports the resource usage on
 * request. It waits on a socket of its own meanwhile, which costs nothing.
 *
 * `deno run -A bench/host/host.ts <entry>`, with the port to report to in `BENCH_CONTROL_PORT`.
 */

export interface Used {
  /** CPU time of all threads, user and system, in microseconds, since the process started. */
  cpuUs: number;
  /** Since the process started, in milliseconds. */
  wallMs: number;
  /** In bytes, after a garbage collection if V8 exposes one (`--expose-gc`). */
  heapBytes: number;
  rssBytes: number;
}

const control = await Deno.connect({
  hostname: "127.0.0.1",
  port: Number(Deno.env.get("BENCH_CONTROL_PORT")),
});
const encoder = new TextEncoder();

await tell();
await import(new URL(Deno.args[0] ?? "", import.meta.url).href);
await tell();
const question = new Uint8Array(1);
while (await control.read(question) !== null) {
  if (question[0] === "c".charCodeAt(0)) collect();
  await tell();
}
// The parent process has gone.
Deno.exit();

async function tell(): Promise<void> {
  const { user, system } = process.cpuUsage();
  const { heapUsed, rss } = Deno.memoryUsage();
  const used: Used = {
    cpuUs: user + system,
    wallMs: performance.now(),
    heapBytes: heapUsed,
    rssBytes: rss,
  };
  await control.write(encoder.encode(`${JSON.stringify(used)}\n`));
}

function collect(): void {
  const { gc } = globalThis as { gc?: () => void };
  for (let times = 0; times < 3; times++) gc?.();
}

/** A worker's life: what keeps it alive, and word of its end. */

import type { WorkerLifetime } from "../ports/runtime.ts";

interface EdgeRuntime {
  waitUntil(work: Promise<unknown>): void;
}

/**
 * Holds the worker by `EdgeRuntime.waitUntil` where there is one (Supabase, and the local stack). Elsewhere the process
 * lives as long as its server does, and holding does nothing.
 */
export function workerLifetime(): WorkerLifetime {
  const runtime = edgeRuntime();
  return {
    hold(work): void {
      // A rejection is its owner's to see: here it would only be reported a second time, as an unhandled one.
      runtime?.waitUntil(work.then(nothing, nothing));
    },
  };
}

/**
 * Calls `drain` once, with a reason, when this worker is about to end.
 *
 * On Supabase that is `beforeunload`, with the reasons `cpu`, `memory`, `wall_clock`, `early_drop` and `termination`; the
 * runtime ends the worker itself, `drain` holding it as far as it may be held. On plain Deno it is SIGTERM or SIGINT
 * (the reason is the signal's name), and the process exits as soon as `drain` has settled: with 0, or 1 if it rejected.
 * A second signal does not wait.
 *
 * `drain` should settle when the sockets have *closed*, not when their close was requested: what is still to be written then is
 * lost with the process.
 */
export function onWorkerEnding(drain: (reason: string) => Promise<void>): void {
  let ending: Promise<void> | undefined;
  const end = (reason: string): Promise<void> => ending ??= drain(reason);
  const runtime = edgeRuntime();

  globalThis.addEventListener("beforeunload", (event) => {
    const drained = end(reasonOf(event)).then(nothing, nothing);
    runtime?.waitUntil(drained);
  });
  // Where there is an EdgeRuntime, signals are its affair.
  if (runtime !== undefined) return;
  listenForSignals((signal) => {
    if (ending !== undefined) Deno.exit(1);
    void end(signal).then(() => exitSoon(0), () => exitSoon(1));
  });
}

function edgeRuntime(): EdgeRuntime | undefined {
  return (globalThis as { EdgeRuntime?: EdgeRuntime }).EdgeRuntime;
}

/** `detail.reason` of Supabase's `beforeunload`, which is a CustomEvent. */
function reasonOf(event: Event): string {
  const detail: unknown = event instanceof CustomEvent ? event.detail : undefined;
  const reason: unknown = typeof detail === "object" && detail !== null
    ? Reflect.get(detail, "reason")
    : undefined;
  return typeof reason === "string" ? reason : "unknown";
}

function listenForSignals(listener: (signal: "SIGTERM" | "SIGINT") => void): void {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    try {
      Deno.addSignalListener(signal, () => listener(signal));
    } catch {
      // Windows knows no SIGTERM: there the process simply ends.
    }
  }
}

/** A turn of the event loop later: a close frame just handed over leaves then (tried), at once it would be lost. */
function exitSoon(code: number): void {
  setTimeout(() => Deno.exit(code), 0);
}

function nothing(): void {}

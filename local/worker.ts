/**
 * The process of one worker: `deno run … local/worker.ts <file URL of the function> [--test-hooks]`.
 *
 * It gives the function the globals of Supabase's edge runtime, removes those that do not exist there, serves the
 * function on a free loopback port, and obeys the stack's messages. Runs on Deno 2.1.4 (the platform's compatibility
 * level) and later.
 */

import { createInterface } from "node:readline";
import process from "node:process";
import { types } from "node:util";
import { type ActivityTap, tapActivity } from "./activity_tap.ts";
import {
  type FromWorker,
  RECORD_SEPARATOR,
  TEST_HOOKS,
  type ToWorker,
  type UnloadReason,
} from "./worker_messages.ts";

/** How long a worker may take to end after its stack has gone. */
const ORPHAN_GRACE_MS = 2000;
/** The time for the last sent bytes to leave the process. */
const FLUSH_MS = 30;

/** Sets a property of a global to a value that does not match its type. This is intended. */
function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

// The real functions, saved before the function sees the platform's replacements.
const { exit, serve } = Deno;
const encoder = new TextEncoder();

let openRequests = 0;
let pendingWaits = 0;
let retired = false;
let ending = false;
let served = false;
let wasQuiet = false;
let onSettled: (() => void) | undefined;
let tap: ActivityTap | undefined;

function tell(message: FromWorker): void {
  Deno.stdout.writeSync(encoder.encode(`${RECORD_SEPARATOR}${JSON.stringify(message)}\n`));
}

function settle(): void {
  const quiet = openRequests === 0 && pendingWaits === 0;
  if (quiet) onSettled?.();
  if (retired && quiet !== wasQuiet) {
    wasQuiet = quiet;
    tell({ type: "quiet", quiet });
  }
}

function waitUntil(promise: unknown): unknown {
  // The platform counts native promises only: a thenable does not keep the worker alive there either.
  if (!types.isPromise(promise)) return promise;
  pendingWaits++;
  const done = (): void => {
    pendingWaits--;
    settle();
  };
  promise.then(done, done);
  return promise;
}

type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/** Serves on a free loopback port, whatever the function asked for: the platform ignores port, host and signal too. */
function listen(
  handler: Handler,
  onError?: (error: unknown) => Response | Promise<Response>,
): Deno.HttpServer {
  const counted: Handler = async (request, info) => {
    openRequests++;
    const finish = (): void => {
      openRequests--;
      settle();
    };
    try {
      const response = await handler(request, info);
      // An upgraded socket is a finished request: only a `waitUntil` promise keeps the worker alive for it.
      if (response.status === 101) finish();
      else info.completed.then(finish, finish);
      return response;
    } catch (error) {
      finish();
      throw error;
    }
  };
  const server = serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => {
      if (!served) tell({ type: "listening", port });
      served = true;
    },
    ...(onError === undefined ? {} : { onError }),
  }, counted);
  return server;
}

interface ServeOptions {
  handler?: Handler;
  onError?: (error: unknown) => Response | Promise<Response>;
}

function platformServe(first: Handler | ServeOptions, second?: Handler | ServeOptions): Deno.HttpServer {
  const [options, handler] = typeof first === "function"
    ? [typeof second === "object" ? second : {}, first]
    : [first, typeof second === "function" ? second : first.handler];
  if (handler === undefined) throw new TypeError("Cannot serve HTTP requests: a handler is required");
  return listen(handler, options.onError);
}

function unload(reason: UnloadReason): void {
  globalThis.dispatchEvent(new CustomEvent("beforeunload", { detail: { reason } }));
}

async function end(reason: UnloadReason, graceMs: number): Promise<void> {
  if (ending) return;
  ending = true;
  unload(reason);
  const settled = new Promise<void>((resolve) => onSettled = resolve);
  settle();
  await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, graceMs))]);
  setTimeout(() => exit(0), FLUSH_MS);
}

function follow(message: ToWorker): void {
  switch (message.type) {
    case "retire":
      retired = true;
      return settle();
    case "beforeunload":
      return unload(message.reason);
    case "end":
      void end(message.reason, message.graceMs);
      break;
    case "activity": {
      const watchers = tap?.(message.ask);
      tell({ type: "activity", id: message.id, ...(watchers !== undefined && { watchers }) });
    }
  }
}

function becomeThePlatform(): void {
  // Ctrl+C, and the end of a terminal, reach the whole process group. The stack decides when its workers end.
  Deno.addSignalListener("SIGINT", () => {});
  if (Deno.build.os !== "windows") {
    for (const signal of ["SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, () => {});
  }

  define(globalThis, "EdgeRuntime", { waitUntil });
  define(Deno, "serve", platformServe);
  for (const name of ["BroadcastChannel", "Worker", "EventSource", "localStorage", "WebSocketStream"]) {
    Reflect.deleteProperty(globalThis, name);
  }
  Reflect.deleteProperty(Deno, "listenTls");
  for (const name of ["exit", "addSignalListener", "removeSignalListener"]) define(Deno, name, () => {});
  define(process, "exit", () => {});
}

const [functionUrl, testHooks] = Deno.args;
if (functionUrl === undefined) {
  throw new TypeError("Cannot run a worker: the file URL of a function is expected");
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => follow(JSON.parse(line)));
lines.on("close", () => void end("termination", ORPHAN_GRACE_MS));

becomeThePlatform();
if (testHooks === TEST_HOOKS) tap = await tapActivity(functionUrl);
const module = await import(functionUrl);
if (!served && typeof module.default?.fetch === "function") {
  listen((request) => module.default.fetch(request));
}
if (!served) {
  throw new Error(
    `Cannot boot ${functionUrl}: it neither called Deno.serve nor exported a default object with fetch`,
  );
}

/**
 * A server of the stack that runs on a thread of its own, so that its start-up and its work never hold up the gateway,
 * and nothing of it is left when it is stopped.
 */

/** What a thread says, once. */
type Report = { port: number } | { problem: string };

export interface Thread {
  /** The loopback port it listens on, once it does. Rejects if it could not start, or was stopped before. */
  port: Promise<number>;
  stop(): void;
}

export interface ThreadOptions {
  /** For messages, such as `Supabase Lite`. */
  name: string;
  /** What it is to know; it is copied. */
  setup: unknown;
}

/** Starts the module at `script`, which calls {@linkcode serveThread}. */
export function startThread(script: URL, { name, setup }: ThreadOptions): Thread {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const fail = (problem: string): void => reject(new Error(`Cannot reach ${name}: ${problem}`));
  // There may be no waiter when it fails.
  promise.catch(() => {});
  const thread = new Worker(script, { type: "module" });
  thread.onmessage = ({ data }: MessageEvent<Report>) => {
    if ("port" in data) resolve(data.port);
    else fail(data.problem);
  };
  thread.onerror = (event) => {
    event.preventDefault();
    fail(event.message);
  };
  thread.postMessage(setup);
  return {
    port: promise,
    stop: () => {
      fail("the stack is stopping");
      thread.terminate();
    },
  };
}

/** On the thread: calls `start` with the setup, and reports the port that it resolves to or why it could not. */
export function serveThread<Setup>(start: (setup: Setup) => Promise<number>): void {
  // The type of a worker's global scope is not that of a window, which the rest of the stack is checked against.
  const scope = globalThis as unknown as {
    onmessage: ((event: MessageEvent<Setup>) => void) | null;
    postMessage(message: Report): void;
  };
  scope.onmessage = ({ data }) => {
    start(data).then(
      (port) => scope.postMessage({ port }),
      (error) => scope.postMessage({ problem: error instanceof Error ? error.message : String(error) }),
    );
  };
}

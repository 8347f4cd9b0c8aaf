/**
 * A server of the stack on a thread of its own. Its start-up and its work never block the gateway, and after a stop
 * nothing of it remains.
 */

/** The single message of a thread. */
type Report = { port: number } | { problem: string };

export interface Thread {
  /** Resolves to the loopback port when the server listens. Rejects if it could not start, or was stopped before. */
  port: Promise<number>;
  stop(): void;
}

export interface ThreadOptions {
  /** The name in messages, such as `Supabase Lite`. */
  name: string;
  /** The data for the thread; it is copied. */
  setup: unknown;
}

/** Starts the module at `script`, which calls {@linkcode serveThread}. */
export function startThread(script: URL, { name, setup }: ThreadOptions): Thread {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const fail = (problem: string): void => reject(new Error(`Cannot reach ${name}: ${problem}`));
  // Possibly nothing awaits the promise when it rejects.
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

/**
 * Runs on the thread: calls `start` with the setup. Reports the port that it resolves to, or the reason for the
 * failure.
 */
export function serveThread<Setup>(start: (setup: Setup) => Promise<number>): void {
  // A worker's global scope has another type than a window, and the rest of the stack is checked against the window
  // type.
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

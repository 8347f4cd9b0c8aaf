/** What the client needs from its environment. Tests supply their own. */

/** The current time, and timers. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `task` once, `delayMs` milliseconds from now. The returned function cancels the timer. */
  after(delayMs: number, task: () => void): () => void;
}

/** The part of a WebSocket that the client uses: those of browsers, Deno, Node ≥ 22, and the package `ws` have it. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Creates sockets: `globalThis.WebSocket`, or the class of the package `ws`. */
export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike;

/**
 * Fires `online` when the network is back and `pageshow` when a page is shown again: a browser's window. In other
 * runtimes these events never fire.
 */
export interface WakeSource {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

/** Where the cursor is kept. `sessionStorage` has this shape. */
export interface CursorStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The client's environment. */
export interface ClientPorts {
  clock: Clock;
  /** At least 0 and less than 1. */
  random(): number;
  /** A unique id. */
  createId(): string;
  WebSocket: SocketConstructor;
  wake: WakeSource;
}

const systemClock: Clock = {
  now: Date.now,
  after(delayMs, task): () => void {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/** The given ports, with the runtime's defaults for the others. Throws if there is no WebSocket. */
export function withDefaults(given: Partial<ClientPorts>): ClientPorts {
  const ports = {
    clock: systemClock,
    random: Math.random,
    createId: randomId,
    // The type says that this always exists, but Node 20 has no WebSocket.
    WebSocket: globalThis.WebSocket as SocketConstructor,
    wake: globalThis,
    ...given,
  };
  if (ports.WebSocket) return ports;
  throw new TypeError(
    "Cannot create client: no WebSocket. On Node 20 install `ws`, and pass its class as option `WebSocket`",
  );
}

/** Not `randomUUID`: browsers have it only on secure (TLS) pages. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}

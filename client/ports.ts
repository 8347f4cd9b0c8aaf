/** What the client takes from its surroundings; tests put their own in. */

/** The time, and timers. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `task` once, `delayMs` milliseconds from now; the answer ends the timer. */
  after(delayMs: number, task: () => void): () => void;
}

/** As much of a WebSocket as is used: that of browsers, Deno, Node ≥ 22, and of the package `ws`. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Makes sockets: `globalThis.WebSocket`, or that of the package `ws`. */
export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike;

/** Fires `online` when the network is back and `pageshow` when a page is shown again: a browser's window. Others never fire. */
export interface WakeSource {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

/** Where the cursor is kept: `sessionStorage` has this shape. */
export interface CursorStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The outside world. */
export interface ClientPorts {
  clock: Clock;
  /** From 0 to less than 1. */
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

/** The ports that are given, and the runtime's own for the others. Throws where there is no WebSocket. */
export function withDefaults(given: Partial<ClientPorts>): ClientPorts {
  const ports = {
    clock: systemClock,
    random: Math.random,
    createId: randomId,
    // A type says that it is always there; Node 20 has none.
    WebSocket: globalThis.WebSocket as SocketConstructor,
    wake: globalThis,
    ...given,
  };
  if (ports.WebSocket) return ports;
  throw new TypeError(
    "Cannot create client: no WebSocket. On Node 20 install `ws`, and pass its class as option `WebSocket`",
  );
}

/** Not `randomUUID`: browsers have that only on pages with TLS. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}

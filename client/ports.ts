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

/** A source of events. */
export interface Listenable {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

/**
 * Says that the network is back or that the page is shown again: a browser's window with its document. In other runtimes
 * these events never fire; there, call `client.wake()`.
 */
export interface WakeSource extends Listenable {
  document?: Listenable & { readonly visibilityState?: string };
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

export const systemClock: Clock = {
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

/**
 * Not `randomUUID`: browsers have it only on secure (TLS) pages. React Native has no `crypto` at all; `Math.random` is
 * enough there, because an id has to be unique and not secret.
 */
function randomId(): string {
  const parts = new Uint32Array(4);
  if (globalThis.crypto === undefined) { for (const at of parts.keys()) parts[at] = Math.random() * 2 ** 32; }
  else crypto.getRandomValues(parts);
  return Array.from(parts, (part) => part.toString(36)).join("-");
}

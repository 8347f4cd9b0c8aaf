/** A WebSocket that can be cut: the client sees a broken network, without a close from either side. */

import type { SocketConstructor, SocketLike } from "../client/mod.ts";

/** How long the server's side of a cut connection stays open: the server must not notice the cut at once. */
const LINGER_MS = 3000;
/** How long a connection attempt takes to fail during a cut. */
const FAIL_MS = 30;

type Handler = SocketLike["onmessage"];

export class Wire {
  /** For the client's option `WebSocket`. */
  readonly Socket: SocketConstructor;
  /**
   * For the client's option `wake`: fires when the browser reports that the network is back or the page is shown again,
   * and when a cut is over.
   */
  readonly wake = new EventTarget();
  readonly #open = new Set<WireSocket>();
  #downUntil = 0;

  constructor() {
    for (const type of ["online", "pageshow"]) {
      addEventListener(type, () => this.wake.dispatchEvent(new Event(type)));
    }
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.wake.dispatchEvent(new Event("pageshow"));
    });
    const open = this.#open;
    const isDown = (): boolean => this.#downUntil > Date.now();
    this.Socket = class extends WireSocket {
      constructor(url: string, protocols: string[]) {
        super(isDown() ? undefined : new WebSocket(url, protocols), (socket) => void open.delete(socket));
        open.add(this);
      }
    };
  }

  /** Cuts open connections, and blocks everything for `forMs`. */
  cut(forMs: number): void {
    this.#downUntil = Date.now() + forMs;
    for (const socket of [...this.#open]) socket.cut();
    setTimeout(() => this.wake.dispatchEvent(new Event("online")), forMs + FAIL_MS);
  }
}

class WireSocket implements SocketLike {
  onopen: Handler = null;
  onmessage: Handler = null;
  onclose: Handler = null;
  onerror: Handler = null;
  #socket: WebSocket | undefined;
  readonly #onEnd: (socket: WireSocket) => void;

  /** Without a socket the connection fails. */
  constructor(socket: WebSocket | undefined, onEnd: (socket: WireSocket) => void) {
    this.#socket = socket;
    this.#onEnd = onEnd;
    if (socket === undefined) {
      setTimeout(() => this.#end({ code: 1006, reason: "" }), FAIL_MS);
      return;
    }
    socket.onopen = (event): void => tell(this.onopen, event);
    socket.onmessage = (event): void => tell(this.onmessage, event);
    socket.onerror = (event): void => tell(this.onerror, event);
    socket.onclose = (event): void => this.#end(event);
  }

  send(text: string): void {
    this.#socket?.send(text);
  }

  close(code?: number, reason?: string): void {
    this.#socket?.close(code, reason);
    this.#onEnd(this);
  }

  cut(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) {
      socket.onopen =
        socket.onmessage =
        socket.onerror =
        socket.onclose =
          null;
      setTimeout(() => socket.close(), LINGER_MS);
    }
    this.#end({ code: 1006, reason: "" });
  }

  #end(closing: { code: number; reason: string }): void {
    this.#onEnd(this);
    tell(this.onclose, closing);
  }
}

/** The client's listener types expect events of specific shapes, so this needs a cast. */
function tell(listener: Handler, event: unknown): void {
  (listener as ((event: unknown) => void) | null)?.(event);
}

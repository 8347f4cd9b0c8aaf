/** A WebSocket of the runtime as the {@linkcode Socket} port. */

import type { Socket } from "../ports/runtime.ts";

/** A close frame holds 125 bytes, two of them the code (RFC 6455, 5.5). */
const MAX_REASON_BYTES = 123;
const INTERNAL_ERROR = 1011;
const reasonBytes = new Uint8Array(MAX_REASON_BYTES);

/**
 * The sending half of `socket`. What is sent while it is not open is dropped; a reason too long for a close frame is cut,
 * and a code that may not be sent becomes 1011.
 */
export function wrapSocket(socket: WebSocket): Socket {
  return new RuntimeSocket(socket);
}

/** A class, not an object of closures: there is one for every connection. */
class RuntimeSocket implements Socket {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  send(text: string): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    try {
      this.#socket.send(text);
    } catch {
      // It closed in between; the connection learns it from the `close` event.
    }
  }

  close(code: number, reason: string): void {
    try {
      this.#socket.close(mayBeSent(code) ? code : INTERNAL_ERROR, cutReason(reason));
    } catch {
      // The same.
    }
  }
}

/**
 * What RFC 6455, 7.4 and the registry give names to, and what is free for applications. Deno would send 1014 and 1016 to
 * 2999 as well, but a peer that is strict drops the connection over them (tried on 2.1.4 and 2.9.6).
 */
function mayBeSent(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1013 || code >= 3000 && code <= 4999;
}

/** The longest beginning of `reason` of at most 123 bytes of UTF-8, ending at a whole character. */
function cutReason(reason: string): string {
  // No UTF-16 unit takes more than three bytes.
  if (reason.length * 3 <= MAX_REASON_BYTES) return reason;
  return reason.slice(0, new TextEncoder().encodeInto(reason, reasonBytes).read);
}

/** WebSocket frames as bytes, as far as a client of these two servers needs them (RFC 6455, 5.2). */

export const OPCODE = { text: 1, close: 8, ping: 9, pong: 10 } as const;

/** One frame from client to server. Masked with zeros, which leaves the payload unchanged. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const extended = length < 126 ? [length] : [126, length >> 8, length & 255];
  const [first = 0, ...rest] = extended;
  const head = [0x80 | opcode, 0x80 | first, ...rest, 0, 0, 0, 0];
  const frame = new Uint8Array(head.length + length);
  frame.set(head);
  frame.set(payload, head.length);
  return frame;
}

/** Splits incoming bytes into frames. Each payload is a copy. */
export class FrameReader {
  readonly #onFrame: (opcode: number, payload: Uint8Array) => void;
  #rest = new Uint8Array(0);

  constructor(onFrame: (opcode: number, payload: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  feed(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let at = 0;
    for (let taken: number; (taken = this.#take(bytes.subarray(at))) > 0;) at += taken;
    this.#rest = bytes.slice(at);
  }

  /** The length of the frame at the beginning of `bytes`; 0 if the frame is incomplete. */
  #take(bytes: Uint8Array): number {
    if (bytes.length < 2) return 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let length = view.getUint8(1) & 127;
    let start = 2;
    if (length === 126) {
      if (bytes.length < 4) return 0;
      length = view.getUint16(2);
      start = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return 0;
      length = Number(view.getBigUint64(2));
      start = 10;
    }
    if (bytes.length < start + length) return 0;
    this.#onFrame(view.getUint8(0) & 15, bytes.slice(start, start + length));
    return start + length;
  }
}

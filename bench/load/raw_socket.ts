/** A WebSocket client over a bare TCP connection: it stores the frames and decodes them after the clock has stopped. */

import { invalid } from "../report/invalid.ts";
import { clientFrame, FrameReader, OPCODE } from "./frames.ts";

const encoder = new TextEncoder();
const HEAD_END = "\r\n\r\n";
const DEFAULT_PATH = "/?stream=true";

export class RawSocket {
  /** Payloads of the received text frames, in order. */
  readonly frames: Uint8Array[] = [];
  /** Called with each text frame. */
  onFrame: (payload: Uint8Array) => void = () => {};
  readonly #connection: Deno.TcpConn;
  #isClosed = false;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects, and resolves with the first frame. `bufferBytes` is the size of one read. */
  static async open(
    port: number,
    { bufferBytes = 65_536, path = DEFAULT_PATH } = {},
  ): Promise<RawSocket> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.setNoDelay();
    const socket = new RawSocket(connection);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.onFrame = () => resolve();
    void socket.#read(new Uint8Array(bufferBytes)).then(
      () => reject(invalid("a server closed a connection")),
      reject,
    );
    await connection.write(encoder.encode(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==${HEAD_END}`,
    ));
    await promise;
    return socket;
  }

  async send(message: object): Promise<void> {
    await this.#write(OPCODE.text, encoder.encode(JSON.stringify(message)));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.close();
  }

  async #write(opcode: number, payload: Uint8Array): Promise<void> {
    await this.#connection.write(clientFrame(opcode, payload));
  }

  async #read(buffer: Uint8Array): Promise<void> {
    let head: string | undefined = "";
    const reader = new FrameReader((opcode, payload) => this.#take(opcode, payload));
    for (;;) {
      let length: number | null;
      try {
        length = await this.#connection.read(buffer);
      } catch {
        length = null;
      }
      if (length === null) return this.close();
      let bytes = buffer.subarray(0, length);
      if (head !== undefined) {
        // One character per byte, so that an index in the text is an index in the bytes.
        const before: number = head.length;
        head += String.fromCharCode(...bytes);
        const end = head.indexOf(HEAD_END);
        if (end < 0) continue;
        if (!head.startsWith("HTTP/1.1 101 ")) throw invalid(`a server answered ${head.slice(0, 40)}`);
        bytes = bytes.subarray(end + HEAD_END.length - before);
        head = undefined;
      }
      reader.feed(bytes);
    }
  }

  #take(opcode: number, payload: Uint8Array): void {
    if (opcode === OPCODE.ping) return void this.#write(OPCODE.pong, payload).catch(() => this.close());
    if (opcode !== OPCODE.text) return;
    this.frames.push(payload);
    this.onFrame(payload);
  }
}

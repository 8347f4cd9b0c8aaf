/** HTTP and WebSocket over bare TCP, for requests that no well-behaved client sends, and for clients that do not read. */

import assert from "node:assert/strict";

/** Limit for the wait for an answer. */
const ANSWER_TIMEOUT_MS = 30_000;

export interface RawAnswer {
  status: number;
  /** Names in lower case. */
  headers: ReadonlyMap<string, string>;
  body: string;
}

/** The headers of a valid handshake. */
export const HANDSHAKE: Readonly<Record<string, string>> = {
  "Upgrade": "websocket",
  "Connection": "Upgrade",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

export interface RawRequest {
  method?: string;
  /** Path and query. */
  target: string;
  /** Overrides {@linkcode HANDSHAKE}; undefined removes a header. */
  headers?: Readonly<Record<string, string | undefined>>;
}

/** One TCP connection with a request on it. */
export class RawSocket implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #method: string;
  #received = new Uint8Array();

  private constructor(connection: Deno.TcpConn, method: string) {
    this.#connection = connection;
    this.#method = method;
  }

  /** Connects to a loopback port and writes the request. */
  static async open(port: number, { method = "GET", target, headers = {} }: RawRequest): Promise<RawSocket> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const all = Object.entries({ Host: `127.0.0.1:${port}`, ...HANDSHAKE, ...headers });
    const lines = all.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`);
    const socket = new RawSocket(connection, method);
    await socket.write(
      new TextEncoder().encode([`${method} ${target} HTTP/1.1`, ...lines, "", ""].join("\r\n")),
    );
    return socket;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) sent += await this.#connection.write(bytes.subarray(sent));
  }

  /** Waits for the head of the answer, and for the body if it has a content length. */
  async answer(): Promise<RawAnswer> {
    const head = await this.#readUntil((bytes) => indexOfBlankLine(bytes));
    const [statusLine = "", ...lines] = new TextDecoder().decode(head).trimEnd().split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) ?/.exec(statusLine)?.[1]);
    assert.ok(status >= 100, `not an HTTP response: ${statusLine}`);
    const headers = new Map(lines.map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
    }));
    const length = this.#method === "HEAD" ? 0 : Number(headers.get("content-length") ?? 0);
    const body = await this.#readUntil((bytes) => bytes.length >= length ? length : undefined);
    return { status, headers, body: new TextDecoder().decode(body) };
  }

  /** The next frame from the server: unmasked and not fragmented, as the protocol requires. */
  async frame(): Promise<{ opcode: number; payload: Uint8Array }> {
    const bytes = await this.#readUntil((received) => {
      const length = frameLength(received);
      return length !== undefined && received.length >= length.total ? length.total : undefined;
    });
    const { header } = frameLength(bytes) ?? { header: 2 };
    return { opcode: (bytes[0] ?? 0) & 0x0f, payload: bytes.slice(header) };
  }

  /** Sends a text frame, masked as client frames must be. */
  async sendText(text: string): Promise<void> {
    await this.write(clientFrame(1, new TextEncoder().encode(text)));
  }

  /**
   * Reads until the server closes the connection, and returns the number of bytes. Fails if the server does not close
   * it.
   */
  async drain({ withinMs = ANSWER_TIMEOUT_MS } = {}): Promise<number> {
    let count = this.#received.length;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this[Symbol.dispose]();
    }, withinMs);
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const read = await this.#connection.read(buffer).catch(() => null);
      if (read === null) break;
      count += read;
    }
    clearTimeout(timer);
    assert.ok(!isLate, `the server did not close the connection within ${withinMs} ms, after ${count} bytes`);
    return count;
  }

  /** Closes the connection without a close frame. */
  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // It was closed already.
    }
  }

  /** Reads until `enough` returns a number of bytes, and removes and returns that many. */
  async #readUntil(enough: (bytes: Uint8Array) => number | undefined): Promise<Uint8Array> {
    const timer = setTimeout(() => this[Symbol.dispose](), ANSWER_TIMEOUT_MS);
    try {
      const buffer = new Uint8Array(65_536);
      for (;;) {
        const wanted = enough(this.#received);
        if (wanted !== undefined) {
          const taken = this.#received.slice(0, wanted);
          this.#received = this.#received.slice(wanted);
          return taken;
        }
        const read = await this.#connection.read(buffer);
        assert.ok(read !== null, `the server closed the connection after ${this.#received.length} bytes`);
        const joined = new Uint8Array(this.#received.length + read);
        joined.set(this.#received);
        joined.set(buffer.subarray(0, read), this.#received.length);
        this.#received = joined;
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Sends one request and reads the answer. */
export async function rawRequest(port: number, request: RawRequest): Promise<RawAnswer> {
  using socket = await RawSocket.open(port, request);
  return await socket.answer();
}

/** A frame of a client, masked with a fixed key. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  const mask = [0x12, 0x34, 0x56, 0x78];
  const { length } = payload;
  const size = length < 126
    ? [0x80 | length]
    : length < 65_536
    ? [0x80 | 126, length >> 8, length & 0xff]
    : [0x80 | 127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  const head = [0x80 | opcode, ...size, ...mask];
  const frame = new Uint8Array(head.length + length);
  frame.set(head);
  for (let at = 0; at < length; at++) frame[head.length + at] = (payload[at] ?? 0) ^ (mask[at % 4] ?? 0);
  return frame;
}

function indexOfBlankLine(bytes: Uint8Array): number | undefined {
  for (let at = 3; at < bytes.length; at++) {
    if (bytes[at - 3] === 13 && bytes[at - 2] === 10 && bytes[at - 1] === 13 && bytes[at] === 10) {
      return at + 1;
    }
  }
  return undefined;
}

function frameLength(bytes: Uint8Array): { header: number; total: number } | undefined {
  const [, second] = bytes;
  if (second === undefined) return undefined;
  const short = second & 0x7f;
  const header = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (bytes.length < header) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = short === 126 ? view.getUint16(2) : short === 127 ? Number(view.getBigUint64(2)) : short;
  return { header, total: header + length };
}

/**
 * A model server on 127.0.0.1 that sends exactly the bytes a test gives it. For behaviour that no well-behaved mock
 * has.
 *
 * ```ts
 * await using server = await RawModelServer.start();
 * server.answer({ steps: [delta("Hi"), HOLD] }); // one word (model_stream.ts), then silence
 * server.answer({ status: 429, headers: { "retry-after": "1" } });
 * createOpenRouter({ baseUrl: server.baseUrl, … });
 * (await server.request(0)).body; // the body of the request
 * await (await server.request(0)).disconnected; // true if the client aborted
 * ```
 *
 * Answers are used in the order of the calls of {@linkcode RawModelServer.answer}, one per request, for any path. The
 * last one is repeated. Each connection serves one request. The server speaks HTTP/1.1 over `node:net`, because its
 * sockets can be reset.
 */

import { createServer, type Server, type Socket } from "node:net";

/** Bytes to send as one HTTP chunk, something to wait for, or an end without the end of the body. */
export type RawStep =
  | string
  | Uint8Array
  | Promise<unknown>
  | { readonly waitMs: number }
  | typeof HOLD
  | typeof CUT
  | typeof RESET;

/** Sends nothing more until the client disconnects. */
export const HOLD = Symbol("hold");
/** Closes the connection in the middle of the body. */
export const CUT = Symbol("cut");
/** Resets the connection (TCP RST). Deno 2.1.4 cannot reset; there it is the same as {@linkcode CUT}. */
export const RESET = Symbol("reset");

export interface RawAnswer {
  /** Default 200. */
  status?: number;
  /** Added to `transfer-encoding` and `connection`. Default: `content-type: text/event-stream`; `{}` sends none. */
  headers?: Readonly<Record<string, string>>;
  /** The body. Default: none. */
  steps?: readonly RawStep[];
}

export interface RawRequest {
  method: string;
  /** Includes the query string. */
  path: string;
  /** By name, in lower case. */
  headers: ReadonlyMap<string, string>;
  /** The body as parsed JSON; undefined if it is not JSON. */
  body: unknown;
  /**
   * Settles when the answer ends or the client disconnects: true if the client disconnected before it had the whole
   * answer.
   */
  disconnected: Promise<boolean>;
}

export class RawModelServer implements AsyncDisposable {
  /** Requests so far, oldest first. */
  readonly requests: RawRequest[] = [];
  readonly #server: Server;
  /** Each open socket with a promise that settles when the socket is closed. */
  readonly #sockets = new Map<Socket, Promise<void>>();
  readonly #answers: (RawAnswer | ((request: RawRequest) => RawAnswer))[] = [];
  readonly #waiting: (() => void)[] = [];
  #port = 0;

  private constructor() {
    this.#server = createServer((socket) => void this.#serve(socket));
  }

  static async start(): Promise<RawModelServer> {
    const raw = new RawModelServer();
    await new Promise<void>((resolve) => raw.#server.listen(0, "127.0.0.1", resolve));
    const address = raw.#server.address();
    if (address === null || typeof address === "string") {
      throw new Error("Cannot start server: it has no port");
    }
    raw.#port = address.port;
    return raw;
  }

  /** For `OPENROUTER_BASE_URL`: `http://127.0.0.1:<port>/api/v1`. */
  get baseUrl(): string {
    return `http://127.0.0.1:${this.#port}/api/v1`;
  }

  /** Adds an answer for the next request without one, or a function that makes the answer from the request. */
  answer(answer: RawAnswer | ((request: RawRequest) => RawAnswer)): void {
    this.#answers.push(answer);
  }

  /** The request with this index (0 is the first). Waits until it arrives. */
  async request(index: number): Promise<RawRequest> {
    for (;;) {
      const request = this.requests[index];
      if (request !== undefined) return request;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Closes every connection and stops listening. */
  async close(): Promise<void> {
    // Does not wait for its callback: Deno 2.1.4 never calls it after there was a connection.
    this.#server.close();
    const closed = [...this.#sockets.values()];
    for (const socket of this.#sockets.keys()) socket.destroy();
    await Promise.all(closed);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(socket: Socket): Promise<void> {
    const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    this.#sockets.set(socket, gone);
    socket.once("close", () => this.#sockets.delete(socket));
    // "close" follows an error, and is enough.
    socket.on("error", () => {});
    const received = await Promise.race([receive(socket), gone]);
    if (received === undefined) return;
    const outcome = Promise.withResolvers<boolean>();
    const request = { ...received, disconnected: outcome.promise };
    const next = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
    const answer = typeof next === "function" ? next(request) : next ?? { status: 500 };
    this.requests.push(request);
    for (const resolve of this.#waiting.splice(0)) resolve();
    const ended = send(socket, answer, gone).then(() => false);
    outcome.resolve(await Promise.race([ended, gone.then(() => true)]));
  }
}

async function send(socket: Socket, answer: RawAnswer, gone: Promise<void>): Promise<void> {
  const { status = 200, headers = { "content-type": "text/event-stream" }, steps = [] } = answer;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.write(
    `HTTP/1.1 ${status} Scripted\r\n${lines}transfer-encoding: chunked\r\nconnection: close\r\n\r\n`,
  );
  for (const step of steps) {
    if (step === HOLD) return await new Promise(() => {});
    if (step === CUT) return void socket.destroy();
    if (step === RESET) return void reset(socket);
    if (step instanceof Promise) await Promise.race([step, gone]);
    else if (typeof step === "object" && "waitMs" in step) await wait(step.waitMs, gone);
    else await write(socket, typeof step === "string" ? new TextEncoder().encode(step) : step, gone);
    if (socket.destroyed) return;
  }
  socket.end("0\r\n\r\n");
}

/** Sends one chunk and waits until the socket has room again, so that a large body is not buffered here. */
async function write(socket: Socket, bytes: Uint8Array, gone: Promise<void>): Promise<void> {
  if (bytes.length === 0) return;
  socket.write(`${bytes.length.toString(16)}\r\n`);
  socket.write(bytes);
  if (!socket.write("\r\n")) {
    await Promise.race([new Promise<void>((resolve) => socket.once("drain", resolve)), gone]);
  }
}

async function wait(ms: number, gone: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([new Promise<void>((resolve) => timer = setTimeout(resolve, ms)), gone]);
  clearTimeout(timer);
}

function reset(socket: Socket): void {
  if (typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
  else socket.destroy();
}

/** Reads one request. */
function receive(socket: Socket): Promise<Omit<RawRequest, "disconnected">> {
  return new Promise((resolve) => {
    let received = new Uint8Array(0);
    const onData = (bytes: Uint8Array): void => {
      received = concat(received, bytes);
      const text = new TextDecoder().decode(received);
      const headEnd = text.indexOf("\r\n\r\n");
      if (headEnd === -1) return;
      // The head is ASCII, so its length in characters is its length in bytes.
      const [start = "", ...lines] = text.slice(0, headEnd).split("\r\n");
      const headers = new Map(lines.map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }));
      if (received.length - headEnd - 4 < Number(headers.get("content-length") ?? 0)) return;
      socket.off("data", onData);
      // Keeps reading, because otherwise the client's disconnect would not be noticed.
      socket.resume();
      const [method = "", path = ""] = start.split(" ");
      resolve({ method, path, headers, body: parseJson(text.slice(headEnd + 4)) });
    };
    socket.on("data", onData);
  });
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

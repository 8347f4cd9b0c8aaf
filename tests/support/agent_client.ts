/**
 * A client of the agent over the runtime's own WebSocket. Every frame that comes is checked against the schemas of
 * `protocol/`, field by field: one that is not in them fails the test.
 */

import assert from "node:assert/strict";
import { type ServerFrame, serverFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";

/** Any frame, with every field that a test may want to look at. */
export type SeenFrame = ServerFrame & { readonly [field: string]: unknown };

export interface Ended {
  code: number;
  reason: string;
}

export interface ConnectOptions {
  protocols?: readonly string[];
  /** Deno's own: a browser cannot set any. */
  headers?: Readonly<Record<string, string>>;
  /** Whether to wait for the welcome. Default: true. */
  welcomed?: boolean;
}

interface Waiter {
  look(): void;
  fail(why: string): void;
}

/** Opens a connection, and waits for its welcome. Rejects where the upgrade is refused. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<AgentClient> {
  const client = new AgentClient(url, options);
  await client.opened;
  if (options.welcomed !== false) await client.waitFor(isWelcome);
  return client;
}

/** Any frame of a type, and of a code if one is given. */
export function of(type: SeenFrame["type"], code?: string): (frame: SeenFrame) => boolean {
  return (frame) => frame.type === type && (code === undefined || frame.code === code);
}

export const isWelcome: (frame: SeenFrame) => boolean = of("notification", "connected");

/** The frame that ends the turn of a query; of any query where no id is given. */
export function terminal(queryId?: string): (frame: SeenFrame) => boolean {
  return (frame) => {
    if (queryId !== undefined && frame.in_reply_to !== queryId) return false;
    if (frame.type === "response") return true;
    return frame.seq !== undefined &&
      (frame.type === "error" || frame.type === "status" && frame.code === "cancelled");
  };
}

export class AgentClient implements AsyncDisposable {
  readonly socket: WebSocket;
  /** All frames that came, oldest first. */
  readonly frames: SeenFrame[] = [];
  /** When each of them came, by the clock of `performance.now()`. */
  readonly arrivals: number[] = [];
  /** How it was closed, once it is. */
  closed: Ended | undefined;
  /** Resolves when the socket is open; rejects if it closes before that. */
  readonly opened: Promise<void>;
  readonly #waiters = new Set<Waiter>();
  readonly #ended = Promise.withResolvers<Ended>();
  #complaint: unknown;

  constructor(url: string, { protocols = [], headers = {} }: ConnectOptions = {}) {
    this.socket = new WebSocket(url, { protocols: [...protocols], headers: { ...headers } });
    this.socket.binaryType = "arraybuffer";
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.opened = promise;
    this.opened.catch(() => {});
    this.socket.onopen = () => resolve();
    this.socket.onmessage = ({ data }) => this.#take(data);
    this.socket.onerror = () => {};
    this.socket.onclose = ({ code, reason }) => {
      if (this.closed !== undefined) return;
      this.closed = { code, reason };
      reject(new Error(`Cannot connect: closed with ${code} ${reason}`));
      this.#ended.resolve(this.closed);
      for (const waiter of [...this.#waiters]) waiter.fail(`the socket was closed with ${code} ${reason}`);
    };
  }

  get welcome(): SeenFrame {
    const [first] = this.frames;
    assert.ok(first !== undefined && isWelcome(first), `the first frame is no welcome: ${show(first)}`);
    return first;
  }

  /** The durable events it was shown, by their numbers. */
  get seqs(): number[] {
    return this.frames.flatMap((frame) => typeof frame.seq === "number" ? [frame.seq] : []);
  }

  /** Says a frame, or text or bytes as they are. */
  send(frame: string | Uint8Array<ArrayBuffer> | Readonly<Record<string, unknown>>): void {
    this.socket.send(
      typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame),
    );
  }

  /** Sends a query and answers with its id. */
  ask(content: string, fields: Readonly<Record<string, unknown>> = {}): string {
    const id = String(fields.id ?? crypto.randomUUID());
    this.send({ type: "query", content, ...fields, id });
    return id;
  }

  /** Sends a query and waits for the frame that ends it. */
  async answer(content: string, fields: Readonly<Record<string, unknown>> = {}): Promise<SeenFrame> {
    const from = this.frames.length;
    return await this.waitFor(terminal(this.ask(content, fields)), { from });
  }

  /** Sends a command and waits for its answer. */
  async command(verb: string, args?: Readonly<Record<string, unknown>>): Promise<SeenFrame> {
    const id = crypto.randomUUID();
    const from = this.frames.length;
    this.send({ type: "command", content: verb, id, ...(args && { args }) });
    return await this.waitFor((frame) => frame.in_reply_to === id, { from });
  }

  /**
   * The first frame that satisfies `predicate`, of those that came (from index `from` on) and those to come. Fails
   * after `withinMs` milliseconds, or when the socket closes first, with what did come.
   */
  waitFor(
    predicate: (frame: SeenFrame) => boolean,
    { withinMs = 10_000, from = 0 } = {},
  ): Promise<SeenFrame> {
    const { promise, resolve, reject } = Promise.withResolvers<SeenFrame>();
    const end = (): void => {
      this.#waiters.delete(waiter);
      clearTimeout(timer);
    };
    let seen = from;
    const waiter: Waiter = {
      look: () => {
        for (; seen < this.frames.length; seen++) {
          const frame = this.frames[seen];
          if (frame === undefined || !predicate(frame)) continue;
          end();
          return resolve(frame);
        }
      },
      fail: (why) => {
        end();
        const got = this.frames.slice(-20).map(show).join("\n");
        reject(
          this.#complaint ??
            new Error(`No such frame, ${why}. It got ${this.frames.length}, the last:\n${got}`),
        );
      },
    };
    const timer = setTimeout(() => waiter.fail(`not within ${withinMs} ms`), withinMs);
    this.#waiters.add(waiter);
    waiter.look();
    if (this.#complaint !== undefined) waiter.fail("");
    else if (this.closed !== undefined && this.#waiters.has(waiter)) waiter.fail("and the socket is closed");
    return promise;
  }

  /** How the socket was closed. */
  async end({ withinMs = 10_000 } = {}): Promise<Ended> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`Not closed within ${withinMs} ms`)), withinMs);
    try {
      const ended = await Promise.race([this.#ended.promise, promise]);
      if (this.#complaint !== undefined) throw this.#complaint;
      return ended;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The query parameters that resume this client's session from the newest event that it was shown. */
  resumeQuery(lastSeq: number = Math.max(0, ...this.seqs)): string {
    const { session_id: sessionId, resume_token: token } = this.welcome;
    const query = new URLSearchParams({ session_id: String(sessionId), last_seq: String(lastSeq) });
    if (typeof token === "string") query.set("resume_token", token);
    return query.toString();
  }

  /** What a client has that builds an answer from deltas alone. */
  textOf(queryId: string): string {
    let text = "";
    for (const frame of this.frames) {
      if (frame.type !== "delta" || frame.in_reply_to !== queryId) continue;
      assert.ok(frame.offset <= text.length, "a delta that begins after the text that there is");
      text = text.slice(0, frame.offset) + frame.content;
    }
    return text;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.end();
  }

  /** Closes, and fails where a frame was not as it should be. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(data: unknown): void {
    try {
      assert.ok(typeof data === "string", "a binary frame");
      const frame: unknown = JSON.parse(data);
      const checked = serverFrame.safeParse(frame);
      assert.ok(checked.success, `not in the schema: ${data}`);
      assert.deepEqual(checked.data, frame, "a field that is not in the schema");
      this.frames.push(frame as SeenFrame);
      this.arrivals.push(performance.now());
    } catch (error) {
      this.#complaint ??= error;
      for (const waiter of [...this.#waiters]) waiter.fail("");
      return;
    }
    for (const waiter of [...this.#waiters]) waiter.look();
  }
}

function show(frame: SeenFrame | undefined): string {
  return JSON.stringify(frame)?.slice(0, 300) ?? "nothing";
}

/**
 * A client of the agent over the runtime's own WebSocket. Every received frame is checked against the schemas of
 * `protocol/`, field by field. A frame that does not match fails the test.
 */

import assert from "node:assert/strict";
import { anyServerFrame, type ServerFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";

/** A server frame of any type, with access to every field. */
export type SeenFrame = ServerFrame & { readonly [field: string]: unknown };

export interface Ended {
  code: number;
  reason: string;
}

export interface ConnectOptions {
  protocols?: readonly string[];
  /** Deno's WebSocket only: a browser cannot set headers. */
  headers?: Readonly<Record<string, string>>;
  /** Whether to wait for the welcome. Default: true. */
  welcomed?: boolean;
}

interface Waiter {
  look(): void;
  fail(why: string): void;
}

/** Opens a connection and waits for its welcome. Rejects if the upgrade is refused. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<AgentClient> {
  const client = new AgentClient(url, options);
  await client.opened;
  if (options.welcomed !== false) await client.waitFor(isWelcome);
  return client;
}

/** Matches frames of a type, and of a code if one is given. */
export function of(type: SeenFrame["type"], code?: string): (frame: SeenFrame) => boolean {
  return (frame) => frame.type === type && (code === undefined || frame.code === code);
}

export const isWelcome: (frame: SeenFrame) => boolean = of("notification", "connected");

/** Matches the frame that ends the turn of a query, or of any query if no id is given. */
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
  /** All frames received, oldest first. */
  readonly frames: SeenFrame[] = [];
  /** The arrival time of each frame, by `performance.now()`. */
  readonly arrivals: number[] = [];
  /** How the socket was closed; undefined while it is open. */
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
    assert.ok(first !== undefined && isWelcome(first), `the first frame is not a welcome: ${show(first)}`);
    return first;
  }

  /** The `seq` of each durable event received. */
  get seqs(): number[] {
    return this.frames.flatMap((frame) => typeof frame.seq === "number" ? [frame.seq] : []);
  }

  /** Sends a frame. Text and bytes are sent unchanged. */
  send(frame: string | Uint8Array<ArrayBuffer> | Readonly<Record<string, unknown>>): void {
    this.socket.send(
      typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame),
    );
  }

  /** Sends a query and returns its id. */
  ask(content: string, fields: Readonly<Record<string, unknown>> = {}): string {
    const id = String(fields.id ?? crypto.randomUUID());
    this.send({ type: "query", content, ...fields, id });
    return id;
  }

  /** Sends a query and waits for its terminal frame. */
  async answer(content: string, fields: Readonly<Record<string, unknown>> = {}): Promise<SeenFrame> {
    const from = this.frames.length;
    return await this.waitFor(terminal(this.ask(content, fields)), { from });
  }

  /** Sends a command and waits for its reply. */
  async command(verb: string, args?: Readonly<Record<string, unknown>>): Promise<SeenFrame> {
    const id = crypto.randomUUID();
    const from = this.frames.length;
    this.send({ type: "command", content: verb, id, ...(args && { args }) });
    return await this.waitFor((frame) => frame.in_reply_to === id, { from });
  }

  /**
   * The first frame that satisfies `predicate`, among those received (from index `from` on) and those still to come.
   * Fails after `withinMs` milliseconds, or when the socket closes first. The error lists the frames that were
   * received.
   */
  waitFor(
    predicate: (frame: SeenFrame) => boolean,
    { withinMs = 30_000, from = 0 } = {},
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

  /** Waits for the socket to close and returns its close code and reason. */
  async end({ withinMs = 30_000 } = {}): Promise<Ended> {
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

  /** The query parameters that resume this client's session after the newest event it received. */
  resumeQuery(lastSeq: number = Math.max(0, ...this.seqs)): string {
    const { session_id: sessionId, resume_token: token } = this.welcome;
    const query = new URLSearchParams({ session_id: String(sessionId), last_seq: String(lastSeq) });
    if (typeof token === "string") query.set("resume_token", token);
    return query.toString();
  }

  /** The text that a client builds from deltas alone. */
  textOf(queryId: string): string {
    let text = "";
    for (const frame of this.frames) {
      if (frame.type !== "delta" || frame.in_reply_to !== queryId) continue;
      assert.ok(frame.offset <= text.length, "a delta that begins after the end of the text so far");
      text = text.slice(0, frame.offset) + frame.content;
    }
    return text;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.end();
  }

  /** Closes the socket. Fails if any received frame was invalid. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(data: unknown): void {
    try {
      assert.ok(typeof data === "string", "a binary frame");
      const frame: unknown = JSON.parse(data);
      const checked = anyServerFrame.safeParse(frame);
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

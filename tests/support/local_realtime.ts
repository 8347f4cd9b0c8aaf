/** The local Realtime without the rest of the stack, and a raw client that can send what supabase-js cannot. */

import assert from "node:assert/strict";
import { type JWTPayload, SignJWT } from "jose";
import { createKeys, type LocalKeys } from "../../local/keys.ts";
import type { Realtime } from "../../local/realtime/realtime.ts";
import { openRealtime } from "../../local/realtime/server.ts";
import type { RealtimeOptions } from "../../local/realtime/settings.ts";
import { eventually } from "./local_stack.ts";
import { SupabaseClients } from "./supabase_clients.ts";

export interface TestRealtime {
  /** The URL for `createClient`. */
  url: string;
  port: number;
  keys: LocalKeys;
  realtime: Realtime;
  clients: SupabaseClients;
  /** An ES256 token with the role `authenticated`, valid for an hour by the clock. A claim of null is left out. */
  token(claims?: Readonly<Record<string, unknown>>): Promise<string>;
  raw(options?: RawOptions): Promise<RawRealtime>;
}

export interface RawOptions {
  vsn?: "1.0.0" | "2.0.0";
  /** Default: the publishable key. */
  apikey?: string;
}

/** Runs `body` with a Realtime, then stops everything. By default Realtime answers errors without a delay. */
export async function withRealtime(
  options: Omit<RealtimeOptions, "keys" | "publicKeys">,
  body: (realtime: TestRealtime) => Promise<void>,
): Promise<void> {
  const keys = await createKeys({});
  const server = openRealtime({
    delays: { joinErrorMs: 0, handshakeErrorMs: 0 },
    ...options,
    keys,
    publicKeys: () => Promise.resolve([keys.es256]),
  });
  const raws: RawRealtime[] = [];
  const now = (): number => options.clock?.now() ?? Date.now();
  const url = `http://127.0.0.1:${server.port}`;
  try {
    await using clients = new SupabaseClients(url);
    await body({
      url,
      port: server.port,
      keys,
      realtime: server.realtime,
      clients,
      token: (claims = {}) => signed(keys, { role: "authenticated", exp: seconds(now()) + 3600, ...claims }),
      raw: async ({ vsn = "2.0.0", apikey = keys.publishableKey } = {}) => {
        const raw = new RawRealtime(
          `ws://127.0.0.1:${server.port}/realtime/v1/websocket?apikey=${apikey}&vsn=${vsn}`,
        );
        raws.push(raw);
        await raw.opened;
        return raw;
      },
    });
  } finally {
    await Promise.all(raws.map((raw) => raw.close()));
    await server.stop();
  }
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

async function signed({ es256 }: LocalKeys, claims: Readonly<Record<string, unknown>>): Promise<string> {
  const payload: JWTPayload = Object.fromEntries(
    Object.entries(claims).filter(([, value]) => value !== null),
  );
  return await new SignJWT(payload).setProtectedHeader({ alg: es256.alg, kid: es256.kid, typ: "JWT" })
    .sign(es256.privateKey);
}

/** Sends frames unchanged and keeps the received ones: text as parsed JSON, bytes as a list of numbers. */
export class RawRealtime implements AsyncDisposable {
  readonly socket: WebSocket;
  readonly frames: unknown[] = [];
  readonly opened: Promise<void>;
  closed: { code: number } | undefined;

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.opened = promise;
    this.socket.onopen = () => resolve();
    this.socket.onerror = () => {};
    this.socket.onmessage = ({ data }) =>
      this.frames.push(typeof data === "string" ? JSON.parse(data) : [...new Uint8Array(data)]);
    this.socket.onclose = ({ code }) => {
      this.closed ??= { code };
      reject(new Error(`Cannot connect: closed with ${code}`));
    };
  }

  send(frame: unknown): void {
    this.socket.send(
      frame instanceof Uint8Array || typeof frame === "string" ? frame : JSON.stringify(frame),
    );
  }

  /** Removes and returns the next `count` frames. */
  async take(count = 1): Promise<unknown[]> {
    await eventually(
      `${count} frames, not ${JSON.stringify(this.frames)}`,
      () => this.frames.length >= count,
    );
    return this.frames.splice(0, count);
  }

  /** Asserts that no frame is waiting. It sends a heartbeat, which is always answered, and frames are answered in order. */
  async silence(): Promise<void> {
    this.send([null, "silence", "phoenix", "heartbeat", {}]);
    assert.deepEqual(await this.take(), [[null, "silence", "phoenix", "phx_reply", {
      status: "ok",
      response: {},
    }]]);
  }

  async end(): Promise<number> {
    return (await eventually("the end of the connection", () => this.closed)).code;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

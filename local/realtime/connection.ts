/** One WebSocket: its frames are handled one after the other, and a refused join delays all of them. */

import { Channel, type Outlet } from "./channel.ts";
import {
  type ClientFrame,
  decodeFrame,
  encodeFrame,
  type Ref,
  type ServerFrame,
  type Version,
} from "./frames.ts";
import { TOPIC_PREFIX } from "./hub.ts";
import { admit, type Context, readJoin } from "./join.ts";
import { isOver } from "./settings.ts";
import { wait } from "./wait.ts";

/** Too many joins, or the server stops. */
const GOING_AWAY = 1001;
const FRAME_TOO_BIG = 1009;
const INTERNAL_ERROR = 1011;
const TOO_MUCH_HELD = 1013;

export interface ConnectionOptions {
  socket: WebSocket;
  version: Version;
  /** The JWT of the handshake. */
  token: string;
  onEnd(connection: Connection): void;
}

/** A connection in the answer of `stats`. */
export interface ConnectionStats {
  vsn: "1.0.0" | "2.0.0";
  /** Topics as supabase-js names them, without `realtime:`. */
  channels: { topic: string; private: boolean }[];
}

export class Connection implements Outlet {
  readonly version: Version;
  readonly #context: Context;
  readonly #socket: WebSocket;
  readonly #token: string;
  readonly #channels = new Map<string, Channel>();
  readonly #ending = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  /** Resolves when the socket is closed. */
  readonly ended: Promise<void> = this.#ended.promise;
  /** Received frames that are not handled yet. */
  readonly #inbox: ClientFrame[] = [];
  #isBusy = false;
  /** Messages to send after the delay of a refused join; undefined if there is no delay. */
  #held: (string | Uint8Array<ArrayBuffer>)[] | undefined;
  /** The size of the inbox and the held messages together. */
  #waitingBytes = 0;

  constructor({ socket, version, token, onEnd }: ConnectionOptions, context: Context) {
    this.version = version;
    this.#context = context;
    this.#socket = socket;
    this.#token = token;
    socket.binaryType = "arraybuffer";
    // The socket may have been cut before it was open.
    socket.onopen = () => {
      if (this.#ending.signal.aborted) this.close(GOING_AWAY);
    };
    socket.onmessage = ({ data }) => this.#take(data);
    // A close event follows.
    socket.onerror = () => {};
    socket.onclose = () => {
      this.#end();
      this.#ended.resolve();
      onEnd(this);
    };
  }

  stats(): ConnectionStats {
    return {
      vsn: this.version === 1 ? "1.0.0" : "2.0.0",
      channels: [...this.#channels.values()].map(({ request }) => ({ ...request.room })),
    };
  }

  send(frame: ServerFrame): void {
    this.deliver(encodeFrame(this.version, frame));
  }

  deliver(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#held === undefined) return this.#write(data);
    this.#held.push(data);
    this.#waits(data.length);
  }

  onClosed(channel: Channel): void {
    if (this.#channels.get(channel.topic) === channel) this.#channels.delete(channel.topic);
  }

  close(code: number): void {
    this.#end();
    try {
      this.#socket.close(code);
    } catch {
      // The socket is not open yet, or no longer open.
    }
  }

  #take(data: string | ArrayBuffer): void {
    const bytes = typeof data === "string" ? data.length : data.byteLength;
    if (isOver(bytes, this.#context.limits.frameBytes)) return this.close(FRAME_TOO_BIG);
    const frame = decodeFrame(this.version, data);
    if (frame === undefined || this.#ending.signal.aborted) return;
    this.#inbox.push(frame);
    this.#waits(frame.bytes);
    if (this.#isBusy) return;
    this.#work().catch((error) => {
      this.#context.onError(error);
      this.close(INTERNAL_ERROR);
    });
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    for (let frame = this.#inbox.shift(); frame !== undefined; frame = this.#inbox.shift()) {
      this.#waitingBytes -= frame.bytes;
      await this.#handle(frame);
    }
    this.#isBusy = false;
  }

  async #handle(frame: ClientFrame): Promise<void> {
    const { topic, event, ref, joinRef } = frame;
    const channel = this.#channels.get(topic);
    if (topic === "phoenix" && event === "heartbeat") {
      return this.#reply({ ...frame, joinRef: null }, "ok", {});
    }
    if (event === "phx_join" && topic.startsWith(TOPIC_PREFIX)) return await this.#join(frame, channel);
    if (event === "phx_leave") {
      if (channel === undefined) return this.#reply(frame, "ok", {});
      // A leave for an earlier membership that is already closed.
      if (channel.joinRef !== null && channel.joinRef !== joinRef) return;
      channel.reply({ ref }, "ok", {});
      return channel.close();
    }
    if (channel !== undefined) return await channel.receive(frame);
    this.#reply({ ...frame, joinRef: null }, "error", { reason: "unmatched topic" });
  }

  /**
   * An existing membership ends before the new join. Its close is sent after it, whatever the result of the new join.
   */
  async #join(frame: ClientFrame, former: Channel | undefined): Promise<void> {
    former?.leave();
    this.#channels.delete(frame.topic);
    const request = readJoin(frame.topic, frame.payload);
    const admission = await admit(
      { request, connectionToken: this.#token, channels: this.#channels.size },
      this.#context,
    );
    if (this.#ending.signal.aborted) return;
    if ("reason" in admission) {
      await this.#holdUp();
      this.#reply(frame, "error", { reason: admission.reason });
    } else {
      const channel = new Channel({ ...admission, request, joinRef: frame.joinRef }, this, this.#context);
      this.#channels.set(frame.topic, channel);
      channel.reply(frame, "ok", { postgres_changes: [] });
      if (request.presence) channel.push("presence_state", {});
    }
    if (former !== undefined) this.#writeFrame(frame.topic, "phx_close", {}, former.joinRef, former.joinRef);
    this.#release();
    if ("disconnect" in admission) this.close(GOING_AWAY);
  }

  /** During the delay nothing is handled and nothing is sent, not even the answer to a heartbeat. */
  async #holdUp(): Promise<void> {
    const { clock, delays } = this.#context;
    this.#held = [];
    await wait(delays.joinErrorMs, { clock, signal: this.#ending.signal });
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const data of held) {
      this.#waitingBytes -= data.length;
      this.#write(data);
    }
  }

  #reply({ topic, joinRef, ref }: ClientFrame, status: "ok" | "error", response: unknown): void {
    this.#writeFrame(topic, "phx_reply", { status, response }, joinRef, ref);
  }

  /** Bypasses the held messages. */
  #writeFrame(topic: string, event: string, payload: unknown, joinRef: Ref, ref: Ref): void {
    this.#write(encodeFrame(this.version, { joinRef, ref, topic, event, payload }));
  }

  #write(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(data);
    if (isOver(this.#socket.bufferedAmount, this.#context.limits.heldBytes)) this.close(TOO_MUCH_HELD);
  }

  #waits(bytes: number): void {
    this.#waitingBytes += bytes;
    if (isOver(this.#waitingBytes, this.#context.limits.heldBytes)) this.close(TOO_MUCH_HELD);
  }

  #end(): void {
    this.#ending.abort();
    this.#inbox.length = 0;
    this.#held = undefined;
    for (const channel of this.#channels.values()) channel.leave();
    this.#channels.clear();
  }
}

/**
 * One socket of the AI SDK's `WebSocketChatTransport`. It carries several conversations, each over a connection of its own to the
 * session, and counts as one connection.
 *
 * Nothing is sent but answers to the page's requests: the transport fails all of them over any other frame.
 */

import { AgentError, toAgentError } from "../errors.ts";
import type { WaitingBytes } from "../guard/byte_pool.ts";
import { identify, type Identity } from "../guard/identity.ts";
import { type MemoryAccount, OVERHEAD_BYTES } from "../guard/memory_budget.ts";
import type { CancelTimer, Socket } from "../ports/runtime.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { Carrier, CarrierPlace } from "../session/carriers.ts";
import { FrameRate } from "../session/frame_rate.ts";
import { FAR_OVER, sizeOf } from "../session/frame_size.ts";
import { closingFor } from "../session/handshake.ts";
import { closeWhenQuiet } from "../session/quiet_close.ts";
import { addressQuotaKey, userKey } from "../session/quota_keys.ts";
import { Chats } from "./chats.ts";
import { ChunkStream } from "./chunk_stream.ts";
import type { DoorDeps, DoorRequest } from "./door_deps.ts";
import type { Listeners } from "./listeners.ts";
import { questionOf } from "./question.ts";
import { replyOf } from "./reply.ts";
import { type AiSdkRequest, decodeRequest, requestIdOf } from "./requests.ts";

/** How long a peer may take to answer a close. A peer that does not read never answers. */
const CLOSE_TIMEOUT_MS = 5000;
/** Frames, and bytes of them, that wait until it is known who the user is. One of the largest size always may. */
const MAX_EARLY_FRAMES = 100;
const MAX_EARLY_BYTES = 262_144;
/** A frame up to this size is decoded although it is over the rate limit: it may be an `abort`. */
const SMALL_BYTES = 1024;

type Data = string | ArrayBuffer;

type State =
  | { name: "opening"; early: Data[]; cancelDeadline: CancelTimer }
  | { name: "refused"; error: AgentError; cancelDeadline: CancelTimer }
  | { name: "ready"; chats: Chats; quotaKeys: readonly string[] }
  | { name: "leaving"; cancelTimeout: CancelTimer }
  | { name: "new" | "gone" };

export class Door implements Carrier {
  readonly address: string;
  readonly #port: Socket;
  readonly #request: DoorRequest;
  readonly #deps: DoorDeps;
  readonly #listeners: Listeners;
  readonly #place: CarrierPlace;
  readonly #rate: FrameRate;
  readonly #waiting: WaitingBytes;
  readonly #memory: MemoryAccount;
  #state: State = { name: "new" };
  #heardAt = 0;

  constructor(port: Socket, request: DoorRequest, deps: DoorDeps, listeners: Listeners) {
    this.address = request.address;
    this.#port = port;
    this.#request = request;
    this.#deps = deps;
    this.#listeners = listeners;
    this.#rate = new FrameRate(deps.clock, deps.rateLimiter);
    this.#waiting = deps.waiting.account();
    this.#memory = deps.memory.account(OVERHEAD_BYTES.connection);
    this.#place = deps.server.carriers.add(this);
  }

  /** The socket is open. */
  opened(): void {
    if (this.#state.name !== "new") return;
    const { clock, authTimeoutMs } = this.#deps;
    const cancelDeadline = clock.after(authTimeoutMs, () => {
      const words = `Cannot connect: the token could not be checked within ${authTimeoutMs} ms`;
      this.#refuse(new AgentError("store_unavailable", words, { retryable: true }));
    });
    this.#state = { name: "opening", early: [], cancelDeadline };
    this.#admit().catch((thrown) => this.#refuse(thrown));
  }

  /** A frame has come in. */
  received(data: Data): void {
    const { metrics, clock, maxFrameBytes } = this.#deps;
    this.#heardAt = clock.now();
    const state = this.#state;
    if (state.name === "refused") return this.#tellRefusal(state.error, data);
    if (state.name !== "opening" && state.name !== "ready") return;
    metrics.count("frames_received_total");
    const bytes = sizeOf(data, maxFrameBytes);
    if (bytes > FAR_OVER * maxFrameBytes) return this.#close(CLOSE.frameTooLarge);
    if (state.name === "ready") return this.#take(state, data, bytes);
    const mayWait = bytes <= maxFrameBytes && state.early.length < MAX_EARLY_FRAMES &&
      this.#waiting.add(bytes, Math.max(MAX_EARLY_BYTES, maxFrameBytes)) === "kept";
    if (!mayWait) return this.#close(CLOSE.rateLimitAbused);
    state.early.push(data);
  }

  /** The socket is gone. Deno may say so twice. */
  lost(code: number): void {
    if (this.#state.name === "gone") return;
    this.#settle({ name: "gone" });
    this.#deps.log.write({ level: "info", event: "ai_sdk_socket_closed", code });
    this.#memory.close();
    this.#place.release();
  }

  /** The worker is being replaced. */
  drain(): void {
    if (this.#state.name === "ready") this.#state.chats.drain();
    else this.#close(CLOSE.workerReplaced);
  }

  async #admit(): Promise<void> {
    this.#place.open();
    const identity = await identify(this.#request.token, this.#deps.identity, this.address);
    if (identity.kind === "missing") {
      throw new AgentError("unauthorized", "Cannot connect: send a token, as jwt or as a subprotocol");
    }
    if (this.#state.name !== "opening") return;
    if (identity.kind === "user") await this.#place.enterUser(identity.userId);
    this.#enter(identity);
  }

  #enter(identity: Identity): void {
    const state = this.#state;
    if (state.name !== "opening") return;
    const chats = new Chats({
      deps: this.#deps,
      listeners: this.#listeners,
      request: this.#request,
      identity,
      bufferedAmount: () => this.#port.bufferedAmount,
      send: (text) => this.#send(text),
      close: (closing) => this.#close(closing),
    });
    const quotaKeys = identity.kind === "user"
      ? [userKey(identity.userId)]
      : [`connection:${this.#deps.ids.uuid()}`, addressQuotaKey(this.address)];
    const ready: State & { name: "ready" } = { name: "ready", chats, quotaKeys };
    this.#settle(ready);
    for (const data of state.early) {
      if (this.#state === ready) this.#take(ready, data, sizeOf(data, this.#deps.maxFrameBytes));
    }
  }

  /** The page must be told why, and only the answer to a request can say so: the transport sends one as soon as it is connected. */
  #refuse(thrown: unknown): void {
    const error = toAgentError(thrown);
    const state = this.#state;
    if (state.name !== "opening") return;
    const { clock, log, authTimeoutMs } = this.#deps;
    log.write({ level: "info", event: "connection_refused", error });
    const cancelDeadline = clock.after(authTimeoutMs, () => this.#close(closingFor(error)));
    this.#settle({ name: "refused", error, cancelDeadline });
    for (const data of state.early) this.received(data);
  }

  #tellRefusal(error: AgentError, data: Data): void {
    const decoded = sizeOf(data, this.#deps.maxFrameBytes) > SMALL_BYTES ? undefined : decodeRequest(data);
    const requestId = decoded !== undefined && "request" in decoded
      ? decoded.request.requestId
      : requestIdOf(data);
    if (requestId !== undefined) this.#fail(requestId, error);
    this.#close(closingFor(error));
  }

  #take({ chats, quotaKeys }: State & { name: "ready" }, data: Data, bytes: number): void {
    const { maxFrameBytes } = this.#deps;
    const limited = this.#rate.charge(quotaKeys);
    const isTooLarge = bytes > maxFrameBytes;
    if (limited !== undefined && bytes > SMALL_BYTES || isTooLarge) {
      const words =
        `Cannot take frame: it must have at most ${maxFrameBytes} bytes, so send the last message only`;
      return this.#refuseUnread(requestIdOf(data), limited ?? new AgentError("message_too_large", words));
    }
    const decoded = decodeRequest(data);
    if ("problem" in decoded) return this.#close({ ...CLOSE.rateLimitAbused, reason: decoded.problem });
    const { request } = decoded;
    if (request.type === "abort") chats.abort(request.requestId);
    else if (limited !== undefined) this.#refuseUnread(request.requestId, limited);
    else this.#answer(chats, request);
  }

  #answer(chats: Chats, request: Exclude<AiSdkRequest, { type: "abort" }>): void {
    const { requestId, chatId } = request;
    if (chats.has(requestId)) {
      return this.#close({
        ...CLOSE.rateLimitAbused,
        reason: 'Cannot take request: its "requestId" is in use',
      });
    }
    if (request.type === "resume") return chats.resume(chatId, requestId);
    try {
      const reply = replyOf(request);
      if (reply !== undefined) return chats.reply(chatId, requestId, reply);
      chats.ask(chatId, requestId, questionOf(request, this.#deps.maxMessageBytes));
    } catch (thrown) {
      this.#fail(requestId, toAgentError(thrown));
    }
  }

  /** Refuses a frame that was not decoded, or is over the rate limit. Without its request id only a close can say so. */
  #refuseUnread(requestId: string | undefined, error: AgentError): void {
    if (this.#rate.isAbused) return this.#close(CLOSE.rateLimitAbused);
    if (requestId !== undefined) this.#fail(requestId, error);
    else this.#close(error.code === "rate_limited" ? CLOSE.rateLimitAbused : CLOSE.frameTooLarge);
  }

  #fail(requestId: string, { code, message }: AgentError): void {
    this.#deps.metrics.count("errors_sent_total", code);
    new ChunkStream(requestId, (text) => this.#send(text)).fail(code, message);
  }

  /** As the send buffer of a connection does: a frame that is larger than the cap may go alone. */
  #send(text: string): void {
    if (this.#state.name !== "ready" && this.#state.name !== "refused") return;
    const waiting = this.#port.bufferedAmount;
    if (waiting > 0 && waiting + text.length > this.#deps.maxBufferedBytes) {
      return this.#close(CLOSE.slowConsumer);
    }
    this.#port.send(text);
  }

  #close({ code, reason }: Closing): void {
    if (this.#state.name === "leaving" || this.#state.name === "gone") return;
    const { clock } = this.#deps;
    this.#settle({ name: "leaving", cancelTimeout: clock.after(CLOSE_TIMEOUT_MS, () => this.lost(code)) });
    closeWhenQuiet({
      code,
      clock,
      heardAt: () => this.#heardAt,
      isGone: () => this.#state.name === "gone",
      close: () => this.#port.close(code, reason),
    });
  }

  /** Goes on to another state, and ends what was for the one before. */
  #settle(next: State): void {
    const state = this.#state;
    this.#state = next;
    if (state.name === "opening") {
      state.cancelDeadline();
      this.#waiting.clear();
    } else if (state.name === "refused") state.cancelDeadline();
    else if (state.name === "ready") state.chats.leave();
    else if (state.name === "leaving") state.cancelTimeout();
  }
}

/**
 * One WebSocket. Incoming frames are checked, decoded and dispatched; outgoing frames go through the send buffer.
 *
 * It knows no runtime: the socket is a port, and `opened`, `received` and `lost` are called by the owner of the real one.
 */

import { AgentError, toAgentError } from "../errors.ts";
import { type Identity, type LiveToken, liveToken } from "../guard/identity.ts";
import type { BytePool, WaitingBytes } from "../guard/byte_pool.ts";
import { type MemoryAccount, type MemoryBudget, OVERHEAD_BYTES } from "../guard/memory_budget.ts";
import type { RateLimiter } from "../guard/rate_limiter.ts";
import type { Metrics } from "../metrics.ts";
import type { OnDemand } from "../on_demand.ts";
import type { CancelTimer, Clock, Log, Socket } from "../ports/runtime.ts";
import type { ClientFrame } from "../protocol/client_frames.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { Decode, Decoded } from "../protocol/decode.ts";
import type { DeltaForm } from "../protocol/delta_encoder.ts";
import { renderError } from "../protocol/render.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import { type ConnectionSignal, type ConnectionState, stepConnection } from "./connection_machine.ts";
import { FrameRate } from "./frame_rate.ts";
import { FAR_OVER, sizeOf, tooLarge } from "./frame_size.ts";
import { type DeltaSource, SendBuffer } from "./send_buffer.ts";
import { addressQuotaKey } from "./quota_keys.ts";
import { closeWhenQuiet } from "./quiet_close.ts";
import type { IncomingRequest } from "./incoming_request.ts";
import type { Reader } from "./reader.ts";
import type { Session } from "./session.ts";
import { maxWaitingBytes, readerOf, tooManyAtOnce } from "./waiting_frames.ts";

/** How long a peer may take to answer a close. A peer that does not read never answers, and the runtime would wait forever. */
const CLOSE_TIMEOUT_MS = 5000;
/** Close code for a peer that vanished without closing. */
export const NO_CLOSE_FRAME = 1006;

export interface ConnectionDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  rateLimiter: RateLimiter;
  /** The shared buffer for frames that arrive before the session is ready. */
  waiting: BytePool;
  decoder: OnDemand<Decode>;
  memory: MemoryBudget;
  maxMessageBytes: number;
  maxBufferedBytes: number;
  onOpened(connection: Connection): void;
  /** Handles a frame. If it throws or rejects, the client gets an `error` frame. */
  onFrame(connection: Connection, frame: ClientFrame): void | Promise<void>;
  /** Called once, when the connection leaves its session. */
  onDetached(connection: Connection): void;
  /** Called once, when the socket is gone. */
  onReleased(connection: Connection): void;
}

export class Connection implements Reader {
  readonly id: string;
  readonly request: IncomingRequest;
  /** The memory account of the connection. Each buffer has a part of it. */
  readonly memory: MemoryAccount;
  /** The client's identity; undefined until it is known. */
  identity: Identity | undefined;
  /** The keys of its limits: the user, or the session and the address. */
  quotaKeys: readonly string[];
  session: Session | undefined;
  wantsDeltas: boolean;
  readonly wantsReasoning: boolean;
  readonly wantsTools: boolean;
  readonly #deps: ConnectionDeps;
  readonly #socket: Socket;
  readonly #sendBuffer: SendBuffer;
  #state: ConnectionState = "opening";
  #closing: Closing | undefined;
  readonly #rate: FrameRate;
  readonly #waiting: WaitingBytes;
  #heardAt = 0;
  #cancelCloseTimeout: CancelTimer | undefined;

  constructor(id: string, socket: Socket, request: IncomingRequest, deps: ConnectionDeps) {
    this.id = id;
    this.request = request;
    this.wantsDeltas = request.stream;
    this.wantsReasoning = request.reasoning;
    this.wantsTools = request.tools;
    this.quotaKeys = [`connection:${id}`, addressQuotaKey(request.address)];
    this.#deps = deps;
    this.#rate = new FrameRate(deps.clock, deps.rateLimiter);
    this.#waiting = deps.waiting.account();
    this.#socket = socket;
    this.memory = deps.memory.account(OVERHEAD_BYTES.connection);
    this.#sendBuffer = new SendBuffer(socket, {
      clock: deps.clock,
      memory: this.memory.part(),
      maxBufferedBytes: deps.maxBufferedBytes,
      shortDeltas: request.shortDeltas,
      onOverflow: () => this.close(CLOSE.slowConsumer),
    });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  accessToken(now: number): LiveToken | undefined {
    return this.isGone ? undefined : liveToken(this.identity, now);
  }

  get address(): string {
    return this.request.address;
  }

  get waitingBytes(): number {
    return this.#sendBuffer.waitingBytes;
  }

  get isGone(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  /** The socket is open: frames may be sent from now on. */
  opened(): void {
    this.#deps.metrics.count("connections_opened_total");
    this.#deps.onOpened(this);
  }

  /** A frame has come in. */
  received(data: string | ArrayBuffer): void {
    const { metrics, clock, decoder, maxMessageBytes } = this.#deps;
    this.#heardAt = clock.now();
    if (this.isGone) return;
    metrics.count("frames_received_total");
    const bytes = sizeOf(data, maxMessageBytes);
    if (bytes > FAR_OVER * maxMessageBytes) return this.close(CLOSE.frameTooLarge);
    const limited = this.#rate.charge(this.quotaKeys);
    const isTooLarge = bytes > maxMessageBytes;
    if (!isTooLarge && !this.#mayWait(bytes)) return;
    // A frame that is too large is not parsed, not even for its id, and not kept.
    const read = isTooLarge ? () => tooLarge(maxMessageBytes) : readerOf(data);
    decoder.use((decode) => {
      if (this.#state !== "opening") this.#waiting.clear();
      this.#take(read(decode), limited);
    }, (error) => {
      if (this.#state !== "opening") this.#waiting.clear();
      this.#refuse(error);
    });
  }

  /** Whether the frame may be kept until the session is ready. */
  #mayWait(bytes: number): boolean {
    const isEarly = this.#state === "opening";
    const { decoder, maxMessageBytes } = this.#deps;
    if (!isEarly && decoder.isLoaded) return true;
    const outcome = this.#waiting.add(bytes, maxWaitingBytes(isEarly, maxMessageBytes));
    if (outcome === "kept") return true;
    this.sendError(tooManyAtOnce());
    if (isEarly && outcome === "over") this.close(CLOSE.rateLimitAbused);
    return false;
  }

  /** Dispatches a valid frame that is within the rate limit, and answers any other with an error. */
  #take(decoded: Decoded, limited: AgentError | undefined): void {
    if (limited !== undefined) {
      this.sendError(limited, "frame" in decoded ? decoded.frame.id : decoded.problem.inReplyTo);
      if (this.#rate.isAbused) this.close(CLOSE.rateLimitAbused);
      return;
    }
    if ("problem" in decoded) {
      const { code, message, inReplyTo } = decoded.problem;
      return this.sendError(new AgentError(code, message), inReplyTo);
    }
    this.handOn(decoded.frame);
  }

  /** The socket is gone. Deno may say so twice. */
  lost(code: number): void {
    if (this.#state !== "closed") {
      this.#deps.metrics.count("connections_closed_total", this.#closing?.code ?? code);
      const { session } = this;
      this.#deps.log.write({
        level: "info",
        event: "connection_closed",
        connection_id: this.id,
        session_id: session?.record.sessionId,
        code,
        closed_with: this.#closing?.code,
      });
    }
    this.#step("lose");
  }

  /** Its session is ready. Returns whether the connection is still open. */
  enter(session: Session): boolean {
    if (this.isGone) return false;
    this.session = session;
    this.#step("enter");
    if (this.#deps.decoder.isLoaded) this.#waiting.clear();
    return true;
  }

  /** Closes the connection. Send everything before this call. Calling it again does nothing. */
  close(closing: Closing): void {
    if (this.isGone) return;
    this.#closing = closing;
    this.#step("leave");
  }

  send(frame: ServerFrame): void {
    if (!this.isGone) this.#sendBuffer.send(JSON.stringify(frame));
  }

  sendText(text: string): void {
    if (!this.isGone) this.#sendBuffer.send(text);
  }

  sendError(error: AgentError, inReplyTo?: string): void {
    this.#deps.metrics.count("errors_sent_total", error.code);
    this.send(renderError(error, this.#deps.clock.now(), inReplyTo));
  }

  formOf(source: DeltaSource): DeltaForm {
    return this.#sendBuffer.formOf(source);
  }

  sendDelta(source: DeltaSource, offset: number, encoded: string): void {
    if (!this.#sendBuffer.sendDelta(source, offset, encoded)) return;
    this.#deps.metrics.count(source.kind === "delta" ? "deltas_sent_total" : "reasoning_sent_total");
  }

  dropHeldDeltas(source: DeltaSource): void {
    this.#sendBuffer.dropHeld(source);
  }

  drained(): Promise<void> | undefined {
    return this.#sendBuffer.drained();
  }

  /** Dispatches a frame, and answers errors of its handler. */
  handOn(frame: ClientFrame): void {
    const refuse = (thrown: unknown): void => this.#refuse(thrown, frame);
    try {
      this.#deps.onFrame(this, frame)?.catch(refuse);
    } catch (thrown) {
      refuse(thrown);
    }
  }

  #refuse(thrown: unknown, frame?: ClientFrame): void {
    const error = toAgentError(thrown);
    if (error.code === "internal") {
      this.#deps.log.write({
        level: "error",
        event: "frame_failed",
        connection_id: this.id,
        type: frame?.type,
        error,
      });
    }
    this.sendError(error, frame?.id);
  }

  #step(signal: ConnectionSignal): void {
    const { state, effects } = stepConnection(this.#state, signal);
    this.#state = state;
    for (const effect of effects) {
      switch (effect) {
        case "detach":
          this.#deps.onDetached(this);
          break;
        case "close_socket":
          this.#sendBuffer.close();
          this.memory.leave();
          this.#closeSocket();
          break;
        case "release":
          this.#sendBuffer.close();
          this.#waiting.clear();
          this.#cancelCloseTimeout?.();
          this.memory.close();
          this.#deps.onReleased(this);
          break;
      }
    }
  }

  #closeSocket(): void {
    const { code, reason } = this.#closing ?? CLOSE.workerReplaced;
    closeWhenQuiet({
      code,
      clock: this.#deps.clock,
      heardAt: () => this.#heardAt,
      isGone: () => this.#state === "closed",
      close: () => {
        this.#socket.close(code, reason);
        this.#cancelCloseTimeout = this.#deps.clock.after(CLOSE_TIMEOUT_MS, () => this.lost(NO_CLOSE_FRAME));
      },
    });
  }
}

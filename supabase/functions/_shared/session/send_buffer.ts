/**
 * The send buffer of one connection: ordered, bounded in bytes; deltas and reasoning are merged while the reader is behind
 * (backpressure).
 *
 * A delta is addressed by its offset, so a held one needs no copy: the offset to continue from is enough, and the text is the
 * turn's. One slow reader costs the others nothing.
 */

import { type MemoryAccount, MemoryBudget } from "../guard/memory_budget.ts";
import type { CancelTimer, Clock, Socket } from "../ports/runtime.ts";
import type { DeltaForm } from "../protocol/delta_encoder.ts";

/** While more than this waits in the socket, deltas are held. */
export const LOW_WATER_BYTES = 16_384;
/** A replay pauses while this part of the cap waits: enough to keep a quick reader busy from one look to the next. */
const REPLAY_SHARE = 1 / 4;
/** Delays between checks of a reader that is behind: the first, the first in a replay, and the longest. */
const FIRST_LOOK_MS = 10;
const FIRST_REPLAY_LOOK_MS = 1;
const LAST_LOOK_MS = 500;

/** A turn's text or reasoning so far, and the encoding of a piece of it. */
export interface DeltaSource {
  readonly kind: "delta" | "reasoning";
  /** The turn's number: the same for its text and its reasoning, and for no other turn. */
  readonly ref: number;
  readonly text: string;
  encode(form: DeltaForm, offset: number, content: string): string;
}

interface HeldDelta {
  source: DeltaSource;
  /** The reader's position in the text. */
  offset: number;
}

export interface SendBufferOptions {
  clock: Clock;
  /** Bytes that may wait for the reader, in the socket and held back together. */
  maxBufferedBytes: number;
  /** Whether the client takes deltas in the short form. Default: false. */
  shortDeltas?: boolean;
  /** Counts what waits in the socket, while that is more than {@linkcode LOW_WATER_BYTES}. */
  memory?: MemoryAccount;
  /** Called once when that is exceeded. Nothing is sent from then on. */
  onOverflow(): void;
}

export class SendBuffer {
  readonly #socket: Socket;
  readonly #options: SendBufferOptions;
  readonly #memory: MemoryAccount;
  #isCounted = false;
  #heldText: HeldDelta | undefined;
  #heldReasoning: HeldDelta | undefined;
  /** The turn that the newest delta or reasoning frame was about. The next one about it may be short. */
  #named = 0;
  #waiters: (() => void)[] = [];
  #cancelLook: CancelTimer | undefined;
  #isClosed = false;

  constructor(socket: Socket, options: SendBufferOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#memory = options.memory ?? new MemoryBudget(0).account(0);
  }

  /** Bytes that wait for a reader that is behind; 0 for one that keeps up. */
  get waitingBytes(): number {
    return this.#memory.bytes;
  }

  /** Sends one encoded frame. One that is larger than the cap may go alone. */
  send(text: string): void {
    if (this.#isClosed) return;
    const waiting = this.#socket.bufferedAmount;
    if (waiting > 0 && waiting + text.length > this.#options.maxBufferedBytes) return this.#overflow();
    this.#socket.send(text);
    if (waiting + text.length <= LOW_WATER_BYTES) return;
    this.#count();
    if (this.#isCounted) this.#lookLater(FIRST_LOOK_MS);
  }

  /** The form in which {@linkcode SendBuffer.sendDelta} expects the next piece. */
  formOf({ ref }: DeltaSource): DeltaForm {
    if (this.#options.shortDeltas !== true) return "plain";
    return ref === this.#named ? "short" : "named";
  }

  /**
   * Sends a piece of a turn's text or reasoning, `encoded` already, or holds it back while the reader is behind.
   * Answers whether a frame went out.
   */
  sendDelta(source: DeltaSource, offset: number, encoded: string): boolean {
    if (this.#isClosed) return false;
    const waiting = this.#socket.bufferedAmount;
    if (!this.#isHolding && waiting <= LOW_WATER_BYTES) {
      this.#named = source.ref;
      this.#socket.send(encoded);
      return true;
    }
    // The rest of another held text is not needed: its terminal frame has the whole text.
    if (source.kind === "delta") this.#heldText = hold(this.#heldText, source, offset);
    else this.#heldReasoning = hold(this.#heldReasoning, source, offset);
    const held = charsOf(this.#heldText) + charsOf(this.#heldReasoning);
    if (waiting + held > this.#options.maxBufferedBytes) this.#overflow();
    else this.#lookLater(FIRST_LOOK_MS);
    return false;
  }

  /** The turn has ended: its terminal frame has the whole text, so what is held of it need not be sent. */
  dropHeld(source: DeltaSource): void {
    if (this.#heldText?.source === source) this.#heldText = undefined;
    if (this.#heldReasoning?.source === source) this.#heldReasoning = undefined;
  }

  /** Settles once a replay may go on, or the buffer is closed. */
  drained(): Promise<void> | undefined {
    if (this.#isClosed || !this.#isReplayBehind()) return undefined;
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#lookLater(FIRST_REPLAY_LOOK_MS);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#heldText = this.#heldReasoning = undefined;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    this.#release();
  }

  #overflow(): void {
    this.close();
    this.#options.onOverflow();
  }

  get #isHolding(): boolean {
    return this.#heldText !== undefined || this.#heldReasoning !== undefined;
  }

  /** A WebSocket has no drain event: poll `bufferedAmount`. */
  #lookLater(delayMs: number): void {
    this.#cancelLook ??= this.#options.clock.after(delayMs, () => {
      this.#cancelLook = undefined;
      this.#count();
      if (!this.#isReplayBehind()) this.#release();
      if (this.#socket.bufferedAmount <= LOW_WATER_BYTES) this.#flush();
      if (this.#isHolding || this.#waiters.length > 0 || this.#isCounted) {
        this.#lookLater(Math.min(2 * delayMs, LAST_LOOK_MS));
      }
    });
  }

  /** Counts the waiting bytes above {@linkcode LOW_WATER_BYTES}; fewer are part of a connection's fixed overhead. */
  #count(): void {
    const waiting = this.#socket.bufferedAmount;
    this.#isCounted = waiting > LOW_WATER_BYTES;
    this.#memory.set(this.#isCounted ? waiting : 0);
  }

  #isReplayBehind(): boolean {
    return this.#socket.bufferedAmount > this.#options.maxBufferedBytes * REPLAY_SHARE;
  }

  #flush(): void {
    const [reasoning, text] = [this.#heldReasoning, this.#heldText];
    this.#heldReasoning = this.#heldText = undefined;
    // Nothing is left of it if the turn no longer runs here.
    if (reasoning !== undefined && charsOf(reasoning) > 0) this.#sendHeld(reasoning);
    if (text !== undefined) this.#sendHeld(text);
  }

  #sendHeld({ source, offset }: HeldDelta): void {
    const encoded = source.encode(this.formOf(source), offset, source.text.slice(offset));
    this.#named = source.ref;
    this.#socket.send(encoded);
  }

  #release(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** Holds a text from `offset` on. A text that has begun anew may begin before the reader's position. */
function hold(held: HeldDelta | undefined, source: DeltaSource, offset: number): HeldDelta {
  if (held?.source !== source) return { source, offset };
  held.offset = Math.min(held.offset, offset);
  return held;
}

function charsOf(held: HeldDelta | undefined): number {
  return held === undefined ? 0 : Math.max(0, held.source.text.length - held.offset);
}

/** Reads one reply off the wire: the hot path, run for every token. */

import type { ModelReply } from "../ports/model.ts";
import type { CancelTimer, Clock } from "../ports/runtime.ts";
import { AttemptFailure, brokenStream } from "./attempt_failure.ts";
import { BodyFeed } from "./body_feed.ts";
import { type BodyReader, readBody } from "./body_reader.ts";
import { describe } from "./mask.ts";
import type { PacedLane, ReadPacer } from "./read_pacer.ts";
import { type AssemblerOptions, ReplyAssembler } from "./reply_assembler.ts";
import type { Watchdog } from "./watchdog.ts";

/** How long the usage may take to follow the end of the answer. */
const USAGE_GRACE_MS = 2000;
/** How long the end of the stream may take to follow `[DONE]`: a body read to its end leaves the connection usable. */
const CLOSE_GRACE_MS = 50;

const STREAMING = { stream: true } as const;

export interface ReplyStreamOptions extends AssemblerOptions {
  onText(text: string): void;
  onReasoning?: ((text: string) => void) | undefined;
  /** Called once, when the first of several tool calls is whole. */
  onCall?: (() => void) | undefined;
  clock: Clock;
  watchdog: Watchdog;
  pacer: ReadPacer | undefined;
  /** Ends reading at once, whatever it waits for. */
  abort: AbortController;
}

/**
 * Hands the text of a stream on as it comes, all of one read at once, and answers with how it ended.
 * Rejects with an {@linkcode AttemptFailure}, and as soon as `abort` is aborted: with whatever, then.
 */
export async function readReply(
  body: ReadableStream<Uint8Array>,
  options: ReplyStreamOptions,
): Promise<ModelReply> {
  const stream = new ReplyStream(body, options);
  const { signal } = options.abort;
  const onAbort = (): void => stream.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const reply = await stream.read();
    stream.throwIfAborted();
    return reply;
  } catch (thrown) {
    // Why the attempt was aborted says more than what came of it.
    stream.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
    stream.cancel();
  }
}

class ReplyStream {
  readonly #options: ReplyStreamOptions;
  readonly #reader: BodyReader;
  readonly #reply: ReplyAssembler;
  readonly #feed: BodyFeed;
  readonly #decoder = new TextDecoder();
  #lane: PacedLane | undefined;
  #handedOn = false;
  #hasCalled = false;
  #cancelGrace: CancelTimer | undefined;
  #graceMs = Infinity;

  constructor(body: ReadableStream<Uint8Array>, options: ReplyStreamOptions) {
    this.#options = options;
    this.#reader = readBody(body);
    this.#reply = new ReplyAssembler(options);
    this.#feed = new BodyFeed(this.#reply);
  }

  async read(): Promise<ModelReply> {
    try {
      await this.#readAll();
      this.throwIfAborted();
      this.#feed.end();
      return this.#reply.reply();
    } finally {
      // Of a failure too: what came before it is part of what the model said.
      if (this.#reply.hasThoughts) this.#handOnThoughts();
      this.#flush();
    }
  }

  /** Frees everything; a pending read ends. Again does nothing. */
  cancel(): void {
    this.#lane?.leave();
    this.#cancelGrace?.();
    this.#reader.cancel().catch(() => {});
  }

  async #readAll(): Promise<void> {
    const { watchdog, clock } = this.#options;
    for (;;) {
      let result: ReadableStreamReadResult<Uint8Array>;
      try {
        result = await this.#reader.read();
      } catch (thrown) {
        // After the end of the answer it does not matter how the stream ended.
        if (this.#reply.whole || this.#options.abort.signal.aborted) return;
        throw brokenStream(describe(thrown));
      }
      if (result.done) return;
      const now = clock.now();
      watchdog.heard(now);
      this.#lane?.noteRead(now, result.value.length);
      this.#feed.add(this.#decoder.decode(result.value, STREAMING));
      this.#reader.release(result.value);
      if (this.#feed.begun) watchdog.begun();
      if (this.#reply.hasThoughts) this.#handOnThoughts();
      if (this.#reply.hasText && !this.#lane?.gathers) this.#flush();
      if (this.#reply.hasWholeCall && !this.#hasCalled) this.#noteCall();
      if (this.#reply.settled) this.#expectEnd();
      else if (this.#cancelGrace !== undefined) this.#expectMore();
      else if (this.#lane?.closed) await this.#turn(this.#lane);
    }
  }

  /**
   * Throws the reason of an abort. A silence after a finish reason is the end of the answer: the provider gives reasons before the
   * last text, and does not close the stream.
   */
  throwIfAborted(): void {
    const { signal } = this.#options.abort;
    if (!this.#reply.finished || !(signal.reason instanceof AttemptFailure)) signal.throwIfAborted();
  }

  async #turn(lane: PacedLane): Promise<void> {
    const { watchdog, clock } = this.#options;
    watchdog.hold();
    await lane.turn();
    watchdog.heard(clock.now());
  }

  #handOnThoughts(): void {
    const { onReasoning, abort } = this.#options;
    const thoughts = this.#reply.takeThoughts();
    if (abort.signal.aborted) return;
    try {
      onReasoning?.(thoughts);
    } catch (thrown) {
      abort.abort(thrown);
    }
  }

  #noteCall(): void {
    this.#hasCalled = true;
    this.#options.onCall?.();
  }

  readonly #flush = (): void => {
    const { onText, abort, pacer } = this.#options;
    if (!this.#reply.hasText || abort.signal.aborted) return;
    try {
      onText(this.#reply.takeText());
    } catch (thrown) {
      // The caller's mistake, but the pacer that may have called this has other streams to see to.
      abort.abort(thrown);
    }
    if (this.#handedOn) return;
    this.#handedOn = true;
    if (!this.#reply.finished) this.#lane = pacer?.join(this.#flush);
  };

  /** The answer is whole: gives the usage, then the end of the stream, a moment to come. */
  #expectEnd(): void {
    const graceMs = this.#reply.done ? CLOSE_GRACE_MS : USAGE_GRACE_MS;
    this.#options.watchdog.hold();
    if (graceMs === this.#graceMs) return;
    this.#graceMs = graceMs;
    this.#lane?.leave();
    this.#flush();
    this.#cancelGrace?.();
    this.#cancelGrace = this.#options.clock.after(graceMs, () => void this.#reader.cancel().catch(() => {}));
  }

  /** The answer goes on after its finish reason. */
  #expectMore(): void {
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    this.#graceMs = Infinity;
  }
}

/** Reads one reply off the wire: the hot path, run for every token. */

import { createParser, type EventSourceParser } from "eventsource-parser";
import type { ModelReply } from "../ports/model.ts";
import type { CancelTimer, Clock } from "../ports/runtime.ts";
import { type AttemptFailure, brokenStream } from "./attempt_failure.ts";
import { type BodyReader, readBody } from "./body_reader.ts";
import { describe } from "./mask.ts";
import type { Sighting } from "./metered_attempt.ts";
import type { PacedLane, ReadPacer } from "./read_pacer.ts";
import { ReplyAssembler } from "./reply_assembler.ts";
import type { Watchdog } from "./watchdog.ts";

/** Longest event of a stream, in characters; one that is longer is a failure, and is not kept. */
export const MAX_EVENT_CHARS = 1_048_576;
/** How long the usage may take to follow the end of the answer. */
const USAGE_GRACE_MS = 2000;
/** How long the end of the stream may take to follow `[DONE]`: a body read to its end leaves the connection usable. */
const CLOSE_GRACE_MS = 50;

const STREAMING = { stream: true } as const;

export interface ReplyStreamOptions {
  /** Reported where the provider does not name the model that answered. */
  model: string;
  onText(text: string): void;
  clock: Clock;
  watchdog: Watchdog;
  pacer: ReadPacer | undefined;
  /** Ends reading at once, whatever it waits for. */
  abort: AbortController;
  /** Gets what the provider says of the request. */
  sighting?: Sighting;
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
    signal.throwIfAborted();
    return reply;
  } finally {
    signal.removeEventListener("abort", onAbort);
    stream.cancel();
  }
}

class ReplyStream {
  readonly #options: ReplyStreamOptions;
  readonly #reader: BodyReader;
  readonly #reply: ReplyAssembler;
  readonly #parser: EventSourceParser;
  readonly #decoder = new TextDecoder();
  #lane: PacedLane | undefined;
  #handedOn = false;
  #cancelGrace: CancelTimer | undefined;
  #graceMs = Infinity;

  constructor(body: ReadableStream<Uint8Array>, options: ReplyStreamOptions) {
    this.#options = options;
    this.#reader = readBody(body);
    const reply = this.#reply = new ReplyAssembler(options.model, options.sighting);
    this.#parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent({ data }): void {
        // The parser's own cap is on what it keeps from one read to the next.
        if (data.length > MAX_EVENT_CHARS) throw tooLong();
        reply.add(data);
      },
      onError({ type }): void {
        if (type === "max-buffer-size-exceeded") throw tooLong();
      },
    });
  }

  async read(): Promise<ModelReply> {
    try {
      await this.#readAll();
      // The last event may lack its blank line.
      if (!this.#reply.finished) this.#parser.feed("\n\n");
      return this.#reply.reply();
    } finally {
      // Of a failure too: what came before it is part of what the model said.
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
        if (this.#reply.finished) return;
        throw brokenStream(describe(thrown));
      }
      if (result.done) return;
      const now = clock.now();
      watchdog.heard(now);
      this.#lane?.noteRead(now, result.value.length);
      this.#parser.feed(this.#decoder.decode(result.value, STREAMING));
      this.#reader.release(result.value);
      if (this.#reply.begun) watchdog.begun();
      if (this.#reply.hasText && !this.#lane?.gathers) this.#flush();
      if (this.#reply.finished || this.#reply.done) this.#expectEnd();
      else if (this.#lane?.closed) await this.#turn(this.#lane);
    }
  }

  async #turn(lane: PacedLane): Promise<void> {
    const { watchdog, clock } = this.#options;
    watchdog.hold();
    await lane.turn();
    watchdog.heard(clock.now());
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
    if (graceMs === this.#graceMs) return;
    this.#graceMs = graceMs;
    this.#options.watchdog.end();
    this.#lane?.leave();
    this.#flush();
    this.#cancelGrace?.();
    this.#cancelGrace = this.#options.clock.after(graceMs, () => void this.#reader.cancel().catch(() => {}));
  }
}

function tooLong(): AttemptFailure {
  return brokenStream(`the stream has an event of more than ${MAX_EVENT_CHARS} characters`);
}

/**
 * Wakes a busy worker less often.
 *
 * With many streams it is waking up that costs, not reading: twenty streams of 100 tokens/s wake a worker 2,000 times
 * a second. So while enough fast streams are being written, none of them is read until a tick that they share; then
 * each reads what has gathered in the meantime, and hands it on as one piece of text. A stream that is still reading when
 * the time for that is over goes on until nothing is left: one read never brings more than one HTTP chunk, and what stayed
 * behind at each tick would slow the answer down.
 */

import type { CancelTimer, Clock } from "../ports/runtime.ts";

export interface ReadPacerOptions {
  clock: Clock;
  /** Fast streams from which the pace is kept: with few, smooth text is worth more than CPU time. Default 8. */
  minStreams?: number;
  /**
   * What those streams have to bring together, in reads a tick: it costs two wake-ups itself, so at 8 (8 streams of 20
   * tokens/s) it saves nothing. Default 10.
   */
  minReadsPerTick?: number;
  /**
   * From one tick to the next, in milliseconds, and so the most that text is kept back; twice as long where the streams
   * bring less than one read in that time, as those of providers that send many tokens at once do. Default 50.
   */
  intervalMs?: number;
  /**
   * How long after a tick every stream reads, and how often it is then looked which of them have not come to the end of
   * what has gathered. Default 2.
   */
  windowMs?: number;
}

/** How many ticks a stream is watched before it counts as fast, or as not fast any more. */
const SAMPLE_TICKS = 10;
/** What makes a stream fast, in reads a tick: a slower one would only be kept waiting. */
const FAST_READS = 0.5;
/** A stream stays fast, and the pace is kept, down to this part of what it took, lest they come and go. */
const STAY = 0.75;

/** A stream whose last read is at most this old, in milliseconds, has more to read. */
const STILL_READING_MS = 0.5;

/** `off`: everyone reads as it comes. Otherwise reading is allowed, or has to wait. */
type Pace = "off" | "open" | "closed";

export class ReadPacer {
  readonly #clock: Clock;
  readonly #minStreams: number;
  readonly #intervalMs: number;
  readonly #windowMs: number;
  readonly #minReads: number;
  readonly #fast = new Set<PacedLane>();
  #tickMs: number;
  /** When the next tick is due. */
  #nextAt = 0;
  #pace: Pace = "off";
  #cancelTimer: CancelTimer | undefined;

  constructor(
    { clock, minStreams = 8, minReadsPerTick = 10, intervalMs = 50, windowMs = 2 }: ReadPacerOptions,
  ) {
    this.#clock = clock;
    this.#minStreams = minStreams;
    this.#minReads = minReadsPerTick * SAMPLE_TICKS;
    this.#intervalMs = this.#tickMs = intervalMs;
    this.#windowMs = windowMs;
  }

  /**
   * Adds a stream whose first text is out. `flush` hands on what the stream has gathered, if anything; it must not
   * throw.
   */
  join(flush: () => void): PacedLane {
    return new PacedLane(flush, {
      now: this.#clock.now(),
      sampleMs: SAMPLE_TICKS * this.#intervalMs,
      pace: () => this.#pace,
      onSampled: (lane) => this.#weigh(lane),
    });
  }

  #weigh(lane: PacedLane): void {
    if (lane.isFast) this.#fast.add(lane);
    else this.#fast.delete(lane);
    let reads = 0;
    for (const fast of this.#fast) reads += fast.readsPerSample;
    // A stream that is found with nothing to read wakes the worker by itself when something comes.
    this.#tickMs = this.#intervalMs * (reads < this.#fast.size * SAMPLE_TICKS ? 2 : 1);
    const isOn = this.#pace !== "off";
    const pays = this.#fast.size >= this.#minStreams && reads >= this.#minReads * (isOn ? STAY : 1);
    if (pays === isOn) return;
    if (pays) return this.#start();
    this.#pace = "off";
    this.#cancelTimer?.();
    for (const other of this.#fast) {
      other.flush();
      other.resume();
    }
  }

  #start(): void {
    this.#pace = "closed";
    this.#cancelTimer = this.#clock.after(this.#tickMs - this.#windowMs, this.#open);
    for (const lane of this.#fast) lane.flush();
  }

  /** Reading goes on. */
  readonly #open = (): void => {
    // A stream that has been reading since the last tick is not kept waiting for the end of it.
    for (const lane of this.#fast) if (lane.isBehind) lane.flush();
    this.#pace = "open";
    this.#nextAt = this.#clock.now() + this.#tickMs;
    this.#cancelTimer = this.#clock.after(this.#windowMs, this.#close);
    for (const lane of this.#fast) lane.resume();
  };

  /** Reading is over but for streams that have more to read; what it brought goes out. */
  readonly #close = (): void => {
    const wasOpen = this.#pace === "open";
    this.#pace = "closed";
    const now = this.#clock.now();
    let isAnyBehind = false;
    for (const lane of this.#fast) {
      if (!wasOpen && !lane.isBehind) continue;
      lane.isBehind = now - lane.readAt <= STILL_READING_MS;
      if (lane.isBehind) isAnyBehind = true;
      else lane.flush();
    }
    const leftMs = this.#nextAt - now;
    this.#cancelTimer = isAnyBehind && leftMs > this.#windowMs
      ? this.#clock.after(this.#windowMs, this.#close)
      : this.#clock.after(leftMs, this.#open);
  };
}

interface LaneOptions {
  now: number;
  sampleMs: number;
  pace(): Pace;
  /** Called when the stream's speed has been measured again. */
  onSampled(lane: PacedLane): void;
}

/** One stream's place in the pace. */
export class PacedLane {
  /** Hands on what the stream has gathered. */
  readonly flush: () => void;
  readonly #options: LaneOptions;
  /** Whether its reads would gain by waiting for the tick. */
  isFast = false;
  /** How much it reads, as far as is known. */
  readsPerSample = 0;
  /** When it last read. */
  readAt = 0;
  /** It goes on reading although the pace is closed, as there is more to read. */
  isBehind = false;
  #left = false;
  #reads = 0;
  #bytes = 0;
  /** Before the lane was fast: at rest, the network may put several chunks into one read. */
  #bytesPerRead = 1;
  #sampledAt: number;
  #resume: (() => void) | undefined;

  constructor(flush: () => void, options: LaneOptions) {
    this.flush = flush;
    this.#options = options;
    this.#sampledAt = options.now;
  }

  /** Text should wait for `flush` instead of being handed on at once. */
  get gathers(): boolean {
    return this.isFast && this.#options.pace() !== "off";
  }

  /** Reading should wait for {@linkcode turn}. */
  get closed(): boolean {
    return this.isFast && !this.isBehind && this.#options.pace() === "closed";
  }

  /** So many bytes were read at `now`. */
  noteRead(now: number, bytes: number): void {
    this.readAt = now;
    this.#reads++;
    this.#bytes += bytes;
    const { sampleMs } = this.#options;
    const ms = now - this.#sampledAt;
    if (ms < sampleMs || this.#left) return;
    if (!this.isFast) this.#bytesPerRead = this.#bytes / this.#reads;
    this.#setReads(this.#bytes / this.#bytesPerRead * sampleMs / ms);
    this.#reads = this.#bytes = 0;
    this.#sampledAt = now;
  }

  /** Settles as soon as reading may go on. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      if (this.closed) this.#resume = resolve;
      else resolve();
    });
  }

  /** Lets {@linkcode turn} settle. */
  resume(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  /** Out of the pace for good: `flush` is not called any more. Leaving again does nothing. */
  leave(): void {
    this.#left = true;
    if (this.isFast) this.#setReads(0);
  }

  #setReads(reads: number): void {
    this.readsPerSample = reads;
    this.isFast = reads >= FAST_READS * SAMPLE_TICKS * (this.isFast ? STAY : 1);
    this.#options.onSampled(this);
    if (!this.isFast) this.resume();
  }
}

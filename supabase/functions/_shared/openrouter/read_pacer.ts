/**
 * Wakes a busy worker less often.
 *
 * With many streams it is waking up that costs, not reading: twenty streams of 100 tokens/s wake a worker 2,000 times
 * a second. So once enough streams are being written, none of them is read until a tick that they share; then each
 * reads what has gathered in the meantime, and hands it on as one piece of text.
 */

import type { CancelTimer, Clock } from "../ports.ts";

export interface ReadPacerOptions {
  clock: Clock;
  /** From one tick to the next, and so the most that a piece of text is kept back. Default 50. */
  intervalMs?: number;
  /** How long after a tick reading goes on. Chunks come one by one, a few microseconds apart. Default 2. */
  windowMs?: number;
  /** Streams from which pacing pays. Default 8. */
  minStreams?: number;
}

/** One stream's place in the pace. */
export interface PacedLane {
  /** Text should wait for `flush` instead of being handed on at once. */
  readonly gathers: boolean;
  /** Reading should wait for {@linkcode turn}. */
  readonly closed: boolean;
  /** Settles with the next tick, or once the lane has left. */
  turn(): Promise<void>;
  /** Out of the pace for good: `flush` is not called any more. Leaving again does nothing. */
  leave(): void;
}

interface Lane {
  readonly flush: () => void;
  resume: (() => void) | undefined;
}

export class ReadPacer {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #windowMs: number;
  readonly #minStreams: number;
  readonly #lanes = new Set<Lane>();
  /** `off`: everyone reads as it comes. Otherwise the pace is kept, and reading is allowed or not. */
  #state: "off" | "open" | "closed" = "off";
  #cancelTimer: CancelTimer | undefined;

  constructor({ clock, intervalMs = 50, windowMs = 2, minStreams = 8 }: ReadPacerOptions) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#windowMs = windowMs;
    this.#minStreams = minStreams;
  }

  /**
   * Adds a stream whose first text is out. `flush` hands on what the stream has gathered, if anything; it must not
   * throw.
   */
  join(flush: () => void): PacedLane {
    const lane: Lane = { flush, resume: undefined };
    this.#lanes.add(lane);
    if (this.#state === "off" && this.#lanes.size >= this.#minStreams) this.#close();
    const isClosed = (): boolean => this.#state === "closed" && this.#lanes.has(lane);
    const gathers = (): boolean => this.#state !== "off" && this.#lanes.has(lane);
    return {
      get gathers() {
        return gathers();
      },
      get closed() {
        return isClosed();
      },
      turn: () => new Promise((resolve) => isClosed() ? lane.resume = resolve : resolve()),
      leave: () => this.#leave(lane),
    };
  }

  #leave(lane: Lane): void {
    if (!this.#lanes.delete(lane)) return;
    resume(lane);
    if (this.#state !== "off" && this.#lanes.size < this.#minStreams) this.#stop();
  }

  /** Reading goes on. */
  readonly #open = (): void => {
    this.#state = "open";
    this.#cancelTimer = this.#clock.after(this.#windowMs, this.#close);
    for (const lane of this.#lanes) resume(lane);
  };

  /** Reading is over; what it brought goes out. */
  readonly #close = (): void => {
    this.#state = "closed";
    this.#cancelTimer = this.#clock.after(this.#intervalMs - this.#windowMs, this.#open);
    for (const lane of this.#lanes) lane.flush();
  };

  #stop(): void {
    this.#state = "off";
    this.#cancelTimer?.();
    for (const lane of this.#lanes) {
      lane.flush();
      resume(lane);
    }
  }
}

function resume(lane: Lane): void {
  lane.resume?.();
  lane.resume = undefined;
}

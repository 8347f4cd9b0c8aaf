/**
 * How busy the worker is, reported when the change is large enough to matter.
 *
 * `load = 0.6·sat(running turns, 20) + 0.2·sat(sessions, 1000) + 0.2·sat(commits a second, 50)`, `sat(x, n) = min(1, x/n)`.
 *
 * Intensity: low < 0.4 ≤ medium < 0.7 ≤ high. It rises where the load reaches a threshold, and falls where the load is
 * more than 0.05 below it, so that a load that wavers around a threshold is reported once.
 */

import type { Clock } from "../ports/runtime.ts";
import type { LoadChangeData } from "../protocol/activity_events.ts";
import { activityEventHelpers } from "./event_helpers.ts";
import { every } from "./every.ts";
import type { ActivitySink } from "./reporter.ts";

/** What the load is made of. */
export interface LoadReading {
  runningTurns: number;
  sessions: number;
  commitsPerSecond: number;
}

export type Intensity = LoadChangeData["visualIntensity"];

const MEDIUM_FROM = 0.4;
const HIGH_FROM = 0.7;
const HYSTERESIS = 0.05;
/** How often it looks, and so how often it can have something to say. */
export const LOAD_TICK_MS = 1000;

/** From 0 to 1. */
export function loadLevel({ runningTurns, sessions, commitsPerSecond }: LoadReading): number {
  return 0.6 * sat(runningTurns, 20) + 0.2 * sat(sessions, 1000) + 0.2 * sat(commitsPerSecond, 50);
}

/** The intensity at this load, after it was `before`. */
export function stepIntensity(before: Intensity, load: number): Intensity {
  const highFrom = before === "high" ? HIGH_FROM - HYSTERESIS : HIGH_FROM;
  const mediumFrom = before === "low" ? MEDIUM_FROM : MEDIUM_FROM - HYSTERESIS;
  if (load >= highFrom) return "high";
  return load >= mediumFrom ? "medium" : "low";
}

export interface LoadMeterOptions {
  clock: Clock;
  sink: ActivitySink;
  /** What there is at this moment. Also called at the start, so that rates count from there. */
  read(): LoadReading;
}

export class LoadMeter {
  readonly #options: LoadMeterOptions;

  constructor(options: LoadMeterOptions) {
    this.#options = options;
  }

  /**
   * Looks each {@linkcode LOAD_TICK_MS} until the answer is called. The first watcher has heard nothing yet, so it begins
   * at `low`: a worker that is busy already is reported at the first check.
   */
  start(): () => void {
    const { clock, sink, read } = this.#options;
    const { createLoadChangeEvent } = activityEventHelpers(clock);
    let intensity: Intensity = "low";
    read();
    return every(clock, LOAD_TICK_MS, () => {
      const reading = read();
      const load = loadLevel(reading);
      const next = stepIntensity(intensity, load);
      if (next === intensity) return;
      intensity = next;
      sink.broadcast(createLoadChangeEvent({
        loadLevel: load,
        activeProcesses: reading.runningTurns,
        memoryOpsPerSecond: reading.commitsPerSecond,
        reasoningSessions: reading.sessions,
        visualIntensity: next,
      }));
    });
  }
}

/** How fast a total grows. */
export class Rate {
  readonly #clock: Pick<Clock, "now">;
  readonly #total: () => number;
  #readAt: number;
  #readTotal: number;

  constructor(clock: Pick<Clock, "now">, total: () => number) {
    this.#clock = clock;
    this.#total = total;
    this.#readAt = clock.now();
    this.#readTotal = total();
  }

  /** By how much a second it has grown since this was last asked; 0 where no time has passed. */
  perSecond(): number {
    const now = this.#clock.now();
    const elapsedMs = now - this.#readAt;
    if (elapsedMs <= 0) return 0;
    const total = this.#total();
    const grown = total - this.#readTotal;
    this.#readAt = now;
    this.#readTotal = total;
    return 1000 * grown / elapsedMs;
  }
}

function sat(value: number, full: number): number {
  return Math.min(1, value / full);
}

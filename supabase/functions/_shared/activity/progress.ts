/** The progress of a turn, as a number that only grows, reported at a limited rate. */

import type { Clock } from "../ports/runtime.ts";
import type { EndStage, ReportedTurn, TurnStage } from "./reporter.ts";

/** Minimum time between two progress reports of one turn. */
export const STREAMING_INTERVAL_MS = 250;
const THINKING = 0.1;
/** What is not written yet may be one token: only an end is 1. */
const MAX_STREAMING = 0.99;
/** About so many UTF-16 units are a token. */
const CHARS_PER_TOKEN = 4;

const ENDS: ReadonlySet<TurnStage> = new Set<EndStage>(["completed", "cancelled", "failed", "interrupted"]);

interface Told {
  at: number;
  progress: number;
}

export class Progress {
  readonly #clock: Pick<Clock, "now">;
  // By the turn's own object, so that there is nothing to forget when it ends or when the last watcher leaves meanwhile. By its query,
  // because each step of a turn is reported as another one.
  readonly #told = new WeakMap<ReportedTurn["query"], Told>();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** 0 for a turn that waits, a beginning or what it had for one that has started, 1 for one that has ended, however it did. */
  at({ query }: ReportedTurn, stage: TurnStage): number {
    if (stage === "queued") return 0;
    return ENDS.has(stage) ? 1 : this.#told.get(query)?.progress ?? THINKING;
  }

  /** The part of `maxTokens` that has been written; undefined if the last report was too recent. */
  streamed(turn: ReportedTurn, maxTokens: number): number | undefined {
    const told = this.#told.get(turn.query);
    const now = this.#clock.now();
    if (told !== undefined && now - told.at < STREAMING_INTERVAL_MS) return undefined;
    const written = turn.text.length / (CHARS_PER_TOKEN * maxTokens);
    const estimate = THINKING + (MAX_STREAMING - THINKING) * Math.min(1, written);
    const progress = Math.max(estimate, told?.progress ?? THINKING);
    this.#told.set(turn.query, { at: now, progress });
    return progress;
  }
}

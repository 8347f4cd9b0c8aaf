/** What happened in a run, counted. */

import type { Span } from "./records.ts";

export class Tally {
  turns = 0;
  /** When workers were killed, by the clock of `performance.now()`. */
  readonly kills: number[] = [];
  /** When workers stood still. */
  readonly stalls: Span[] = [];
  cuts = 0;
  freezes = 0;
  /** When the database was disturbed. */
  readonly outages: Span[] = [];
  relayTroubles = 0;
  resumes = 0;
  /** Workers that said goodbye before they ended. */
  rotations = 0;
  notices = 0;
  /** Answers whose deltas, all of one connection, were fewer than the response: allowed, but to be rare. */
  shortTexts = 0;
  /** How turns ended, how connections did, what was refused: by their words. */
  readonly ends: Counts = new Map();
  readonly closes: Counts = new Map();
  readonly refusals: Counts = new Map();
  /** From the attempt that succeeded to the newest event that the welcome promised, in milliseconds. */
  readonly caughtUpMs: number[] = [];
  /** From the loss of the connection to the same. */
  readonly backMs: number[] = [];
}

export type Counts = Map<string, number>;

export function count(counts: Counts, word: string): void {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}

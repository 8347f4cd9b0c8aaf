/** Counts of the events in a run. */

import type { Span } from "./records.ts";

export class Tally {
  turns = 0;
  /** When workers were killed, measured with `performance.now()`. */
  readonly kills: number[] = [];
  /** When workers were stopped. */
  readonly stalls: Span[] = [];
  cuts = 0;
  freezes = 0;
  /** When the database was disturbed. */
  readonly outages: Span[] = [];
  relayTroubles = 0;
  resumes = 0;
  /** Workers that shut down gracefully. */
  rotations = 0;
  /** Connections that ended because their session was not in use. */
  expiries = 0;
  notices = 0;
  /** Answers whose deltas, all of one connection, were shorter than the response: allowed, but should be rare. */
  shortTexts = 0;
  /** How turns ended, how connections ended, and what was refused: by code. */
  readonly ends: Counts = new Map();
  readonly closes: Counts = new Map();
  readonly refusals: Counts = new Map();
  /** From the successful connection attempt to the newest event that the welcome announced, in milliseconds. */
  readonly caughtUpMs: number[] = [];
  /** From the loss of the connection to the same event. */
  readonly backMs: number[] = [];
}

export type Counts = Map<string, number>;

export function count(counts: Counts, word: string): void {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}

/** The counts as text, the highest first. */
export function words(counts: Counts): string {
  const entries = [...counts].toSorted(([, one], [, other]) => other - one);
  return entries.map(([word, count]) => `${word} ${count}`).join(", ") || "none";
}

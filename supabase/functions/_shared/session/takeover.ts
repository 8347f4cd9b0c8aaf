/**
 * Sees to turns that nobody runs: claims the lease when it is free or has run out, and goes on where the last worker
 * stopped.
 */

import type { ContinuePolicy } from "../config.ts";
import type { CancelTimer, Clock, Log, OpenTurn, WorkerLifetime } from "../ports.ts";
import type { Feed } from "./feed.ts";
import type { Tenure } from "./tenure.ts";

/** After a claim that failed because the store is out of reach. */
const RETRY_MS = 1000;
/** A lease that is looked at too early must be looked at again. */
const MARGIN_MS = 20;
/** A turn that was begun so often, and never ended, is what ends its workers. */
const MAX_STARTS = 10;

export interface TakeoverOptions {
  clock: Clock;
  log: Log;
  lifetime: WorkerLifetime;
  feed: Feed;
  tenure: Tenure;
  sessionId: string;
  /** Whether there are turns that no turn of this worker answers, and anyone here who waits for them. */
  isNeeded(): boolean;
  /** Called at each look that has found another worker running them. */
  onElsewhere(): void;
}

export class Takeover {
  readonly #options: TakeoverOptions;
  #cancelTimer: CancelTimer | undefined;
  #isClaiming = false;
  #isStopped = false;

  constructor(options: TakeoverOptions) {
    this.#options = options;
  }

  /** Looks whether there is something to see to, now or when the other worker's lease runs out. */
  look(): void {
    if (this.#isStopped || this.#isClaiming || !this.#options.isNeeded()) return;
    const { tenure: { state }, clock, onElsewhere } = this.#options;
    if (state.name === "self") return;
    if (state.name === "nobody") return this.#claim();
    onElsewhere();
    this.#lookAfter(state.until - clock.now() + MARGIN_MS);
  }

  /** Nobody knows what the store has taken: reads it, as soon as it can be reached, and looks again. */
  recover(): void {
    if (this.#isStopped || this.#isClaiming) return;
    const { feed, lifetime } = this.#options;
    this.#isClaiming = true;
    const reading = feed.catchUp(feed.lastSeq + 1).then(() => {
      this.#isClaiming = false;
      this.look();
    }, () => {
      this.#isClaiming = false;
      this.#wait(RETRY_MS, () => this.recover());
    });
    lifetime.hold(reading);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  #lookAfter(delayMs: number): void {
    this.#wait(delayMs, () => {
      if (!this.#isStopped && !this.#isClaiming && this.#options.isNeeded()) this.#claim();
    });
  }

  #wait(delayMs: number, task: () => void): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#options.clock.after(Math.max(0, delayMs), task);
  }

  /** Whoever holds the lease is told so by the answer, and for how long. */
  #claim(): void {
    const { feed, lifetime, log, sessionId, tenure } = this.#options;
    if (tenure.state.name === "self") return;
    this.#isClaiming = true;
    const claiming = feed.commit({ lease: "claim" }).then(() => {
      this.#isClaiming = false;
      this.look();
    }, (error) => {
      this.#isClaiming = false;
      // It may have been answered, and what came before it could not be read: then it is not known what came with it.
      tenure.lost();
      log.write({ level: "warn", event: "claim_failed", session_id: sessionId, error });
      this.#lookAfter(RETRY_MS);
    });
    lifetime.hold(claiming);
  }
}

/** How an open turn goes on at its new worker: from which text, or how it ends. */
export type Inheritance =
  | { kind: "run"; text: string }
  | { kind: "cancel"; text: string; reason: NonNullable<OpenTurn["stopped"]> }
  | { kind: "interrupt"; text: string };

/** Says what becomes of an open turn. */
export function inherit(open: OpenTurn, policy: ContinuePolicy): Inheritance {
  const { partial, starts, stopped } = open;
  if (stopped !== undefined) return { kind: "cancel", text: partial, reason: stopped };
  if (starts === 0) return { kind: "run", text: "" };
  if (policy === "interrupt" || starts >= MAX_STARTS) return { kind: "interrupt", text: partial };
  // Some models refuse a beginning that ends in a space, and all begin the next word with one.
  return { kind: "run", text: policy === "continue" ? partial.trimEnd() : "" };
}

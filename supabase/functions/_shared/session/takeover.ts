/**
 * Sees to turns that nobody runs: claims the lease when it is free or has run out, and goes on where the last worker
 * stopped. And settles writes of which it is not known whether they were done.
 */

import type { ContinuePolicy } from "../config.ts";
import type { StopReason } from "../agent/turn.ts";
import { AgentError, toAgentError } from "../errors.ts";
import type { CancelTimer, Clock, Log, OpenTurn, WorkerLifetime } from "../ports.ts";
import type { Feed } from "./feed.ts";
import type { Tenure } from "./tenure.ts";

/** After a claim or a fence that failed because the store is out of reach. */
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
  /** Whether there are turns here, or turns that somebody here waits for, under no lease of this worker. */
  isNeeded(): boolean;
  /** Called at each look that has found another worker running them. */
  onElsewhere(): void;
  /** Called when it is known again what the store has of this worker. */
  onFenced(lastSeq: number): void;
  /** Called when the store says that the session is no more. */
  onGone(): void;
}

export class Takeover {
  readonly #options: TakeoverOptions;
  #cancelLook: CancelTimer | undefined;
  #isClaiming = false;
  #cancelFence: CancelTimer | undefined;
  #isFencing = false;
  /** Writes in doubt so far. */
  #doubts = 0;
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

  /**
   * A write is in doubt: the store may have done it, or may still. An empty write is made until it is answered: the store
   * does what came before it earlier or never, so the answer tells, and what it tells stays so.
   */
  fence(): void {
    this.#doubts++;
    if (this.#isFencing) return;
    const { clock, feed, lifetime, onFenced, onGone, tenure } = this.#options;
    const doubts = this.#doubts;
    this.#isFencing = true;
    const fencing = feed.commit({}).then(({ lease, lastSeq }) => {
      this.#isFencing = false;
      onFenced(lastSeq);
      // One that was made after the fence, and failed before its answer.
      if (this.#doubts > doubts) return this.fence();
      // A claim was done, and its answer lost: what came with it is to be asked for.
      if (lease.holder === "self" && tenure.state.name === "nobody" && !this.#isClaiming) this.#claim();
      else this.look();
    }, (thrown) => {
      if (toAgentError(thrown).code === "unknown_session") return onGone();
      this.#cancelFence = clock.after(RETRY_MS, () => {
        this.#isFencing = false;
        this.fence();
      });
    });
    lifetime.hold(fencing);
  }

  /** Claims nothing more. What is in doubt is settled all the same. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelLook?.();
  }

  /** The session is no more, or no longer this worker's: does nothing more. */
  end(): void {
    this.stop();
    this.#isFencing = true;
    this.#cancelFence?.();
  }

  #lookAfter(delayMs: number): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#options.clock.after(Math.max(0, delayMs), () => {
      if (!this.#isStopped && !this.#isClaiming && this.#options.isNeeded()) this.#claim();
    });
  }

  /** Whoever holds the lease is told so by the answer, and for how long. */
  #claim(): void {
    const { feed, lifetime, log, sessionId, tenure } = this.#options;
    if (tenure.state.name === "self" || this.#isStopped) return;
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

/** Why a turn that is not to be run on is stopped. */
export function whyOf(fate: Exclude<ReturnType<typeof inherit>, { kind: "run" }>): StopReason {
  if (fate.kind === "cancel") return { signal: "cancel", reason: fate.reason };
  const error = new AgentError("interrupted", "the worker that wrote the answer is gone", {
    retryable: true,
  });
  return { signal: "interrupt", error };
}

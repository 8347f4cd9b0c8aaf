/** Brings the ends of turns into the log, which only the holder of the lease may, and gives the lease up with the last. */

import type { Turn } from "../agent/turn.ts";
import { AgentError } from "../errors.ts";
import type { Committed, LogWrite } from "../ports.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import type { Feed } from "./feed.ts";
import type { Tenure } from "./tenure.ts";

export interface TurnEndsOptions {
  feed: Feed;
  tenure: Tenure;
  /** The write that tells of the running turn's start, if it is on its way. */
  starting(): Promise<unknown> | undefined;
  /** Whether a turn waits, or runs and has not ended. */
  hasMore(): boolean;
  /**
   * Called where an end could not be written: `lease_lost` where another worker runs the turns, `id_conflict` where the log has
   * the query as another turn.
   */
  onUnwritten(ended: TerminalEvent, thrown: unknown): void;
}

/** Whose end it is, where it is that of a turn which was asked or has run here. */
export interface EndOptions {
  turn?: Turn;
  /** Whether nobody wants it any more: the log knew the query already. */
  isUnwanted?(): boolean;
}

export class TurnEnds {
  readonly #options: TurnEndsOptions;
  /** What has become of the questions that this worker has brought to the log; made with the first. */
  #taken: WeakMap<Turn, Promise<"taken" | "refused" | "another">> | undefined;
  /** Ends that are not on their way to the log yet: the lease is given up with the last. */
  #count = 0;
  /** Ends that are not in the log yet. */
  #open = 0;
  /** The write that gives the lease up, while it is on its way. */
  #releasing: Promise<unknown> | undefined;

  constructor(options: TurnEndsOptions) {
    this.#options = options;
  }

  /** The question of a turn is on its way to the log. */
  asked(turn: Turn, committing: Promise<Committed>): void {
    this.#taken ??= new WeakMap();
    const judge = ({ events: [event] }: Committed): "taken" | "another" =>
      event?.kind === "query" && event.turnId === turn.query.turnId ? "taken" : "another";
    this.#taken.set(turn, committing.then(judge, () => "refused"));
  }

  /** Never rejects. */
  async write(
    ended: TerminalEvent,
    { turn, isUnwanted = (): boolean => false }: EndOptions = {},
  ): Promise<void> {
    this.#open++;
    try {
      const isLast = await this.#ready(turn, isUnwanted);
      if (isLast !== undefined) await this.#commit(ended, isLast);
    } catch (thrown) {
      this.#options.onUnwritten(ended, thrown);
    } finally {
      this.#open--;
    }
  }

  /**
   * Gives the lease up where nothing is left to run or to write, so that others need not wait until it runs out. Undefined where
   * there is nothing to give up; rejects as the log does.
   */
  releaseIdle(): Promise<void> | undefined {
    const { tenure: { state }, hasMore } = this.#options;
    if (state.name !== "self" || this.#open > 0 || this.#releasing !== undefined || hasMore()) {
      return undefined;
    }
    return this.#write({ epoch: state.epoch, lease: "release" });
  }

  /**
   * Waits for what has to come before, and answers whether it is the last there is to run; undefined where there is nothing
   * to write. Rejects as the log does.
   */
  async #ready(turn: Turn | undefined, isUnwanted: () => boolean): Promise<boolean | undefined> {
    const { feed, tenure, starting, hasMore } = this.#options;
    this.#count++;
    try {
      const taken = turn && await this.#taken?.get(turn);
      // Whoever brought it was told so.
      if (taken === "refused") return undefined;
      if (taken === "another") throw new AgentError("id_conflict", "Cannot write: the log has another turn");
      if (isUnwanted()) return undefined;
      await starting();
      await this.#releasing;
      if (tenure.state.name === "nobody") await feed.commit({ lease: "claim" });
    } finally {
      this.#count--;
    }
    return isUnwanted() ? undefined : this.#count === 0 && !hasMore();
  }

  async #commit(ended: TerminalEvent, isLast: boolean): Promise<void> {
    const { state } = this.#options.tenure;
    if (state.name !== "self") {
      throw new AgentError("lease_lost", "Cannot write: another worker has taken over");
    }
    await this.#write({ events: [ended], epoch: state.epoch, ...(isLast && { lease: "release" }) });
  }

  async #write(write: LogWrite): Promise<void> {
    const writing = this.#options.feed.commit(write);
    if (write.lease === "release") {
      this.#releasing = writing.catch(() => {}).finally(() => this.#releasing = undefined);
    }
    await writing;
  }
}

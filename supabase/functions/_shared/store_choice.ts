/** `SESSION_STORE`: whether what is said is kept in the project's database, or ends with its worker. */

import { AgentError } from "./errors.ts";
import type { Clock, Log } from "./ports/runtime.ts";

/** How soon to try again where the migration is missing: an operator has to apply it. */
const RETRY_AFTER_MS = 30_000;
/** Between the first two looks: the REST API may just be loading what the database has. */
export const SECOND_LOOK_MS = 500;
/** In memory, so often at most a new session makes the worker look again. */
export const LOOK_AGAIN_MS = 5000;
/** After this time the migration really is missing, and not only unknown to a stale schema cache. */
export const SETTLED_AFTER_MS = 10_000;
/** When to come back meanwhile. */
const UNSETTLED_RETRY_MS = 1000;

export interface StoreChoiceOptions<Durable> {
  mode: "auto" | "postgres" | "memory";
  clock: Clock;
  log: Log;
  /** Undefined where there is no project to have one. */
  durable: Durable | undefined;
}

/** A store that can say whether it is there. */
export interface Probed {
  /**
   * Whether the project has its tables and functions; `missing` only on evidence, which a stale schema cache may give as
   * well. Rejects with `store_unavailable` where it cannot be known.
   */
  probe(): Promise<"postgres" | "missing">;
}

type Choice<Durable> =
  | { name: "unknown" }
  /** For the worker's life. */
  | { name: "durable"; durable: Durable }
  | { name: "memory" }
  /** Until the migration is seen: it was missing since the first look, in milliseconds since the epoch. */
  | { name: "missing"; since: number; lookedAt: number };

/**
 * Which it is takes a call to the database to know, so it is asked when it is first wanted. That the database is there is
 * remembered; that it is not is asked again.
 */
export class StoreChoice<Durable extends Probed> {
  readonly #options: StoreChoiceOptions<Durable>;
  #choice: Choice<Durable>;
  #looking: Promise<void> | undefined;

  constructor(options: StoreChoiceOptions<Durable>) {
    this.#options = options;
    const isMemory = options.mode === "memory" || options.durable === undefined;
    this.#choice = { name: isMemory ? "memory" : "unknown" };
  }

  /** For `/health`: where a new session goes; `unknown` until it was asked for. */
  get name(): "memory" | "postgres" | "unknown" {
    const { name } = this.#choice;
    if (name === "unknown") return name;
    return name === "durable" ? "postgres" : "memory";
  }

  /** The durable store as last checked; undefined if there is none. */
  get durable(): Durable | undefined {
    return this.#choice.name === "durable" ? this.#choice.durable : undefined;
  }

  /**
   * The durable store, for something new; undefined where nothing outlives the worker. Rejects with `store_unavailable`
   * where it was never known whether it is there, and with `SESSION_STORE=postgres` where it is not.
   */
  async choose(): Promise<Durable | undefined> {
    if (this.#choice.name === "unknown") await this.#look();
    else if (this.#choice.name === "missing" && this.#ageMs(this.#choice.lookedAt) >= LOOK_AGAIN_MS) {
      // Whether it is there is not worth a refusal: what is new can go on in memory, as it did until now.
      const { since } = this.#choice;
      await this.#look().catch(() => {
        this.#choice = { name: "missing", since, lookedAt: this.#options.clock.now() };
      });
    }
    return this.durable;
  }

  /** The same, but asks again now, and rejects if the database does not answer: for data that the durable store may have. */
  async chooseNow(): Promise<Durable | undefined> {
    const { name } = this.#choice;
    if (name === "unknown" || name === "missing") await this.#look();
    return this.durable;
  }

  /**
   * The same for something that only the durable store can have. While the migration is missing for less than ten seconds,
   * it rejects with `store_unavailable` rather than say that there is no such thing: a schema cache may be stale.
   */
  async chooseKnown(): Promise<Durable | undefined> {
    const durable = await this.chooseNow();
    if (this.#choice.name === "missing" && this.#ageMs(this.#choice.since) < SETTLED_AFTER_MS) {
      throw new AgentError("store_unavailable", "Cannot tell yet whether the session store is there", {
        retryable: true,
        retryAfterMs: UNSETTLED_RETRY_MS,
      });
    }
    return durable;
  }

  /** One look at a time, for all who want one. */
  async #look(): Promise<void> {
    this.#looking ??= this.#ask().finally(() => this.#looking = undefined);
    await this.#looking;
  }

  async #ask(): Promise<void> {
    const { mode, clock, log, durable } = this.#options;
    const before = this.#choice;
    const isThere = await this.#probe() || before.name === "unknown" && await this.#probeLater();
    if (isThere && durable !== undefined) {
      if (before.name === "missing") log.write({ level: "info", event: "store_found", durable: true });
      this.#choice = { name: "durable", durable };
      return;
    }
    const advice = "apply supabase/migrations with: supabase db push --remote";
    if (mode === "postgres") {
      log.write({ level: "error", event: "store_missing", advice });
      throw new AgentError("store_unavailable", "Cannot use the session store: it is not set up", {
        retryable: true,
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    const now = clock.now();
    if (before.name !== "missing") {
      log.write({ level: "warn", event: "store_in_memory", durable: false, advice });
    }
    this.#choice = { name: "missing", since: before.name === "missing" ? before.since : now, lookedAt: now };
  }

  async #probe(): Promise<boolean> {
    return await this.#options.durable?.probe() === "postgres";
  }

  async #probeLater(): Promise<boolean> {
    await new Promise<void>((resolve) => void this.#options.clock.after(SECOND_LOOK_MS, resolve));
    return await this.#probe();
  }

  #ageMs(at: number): number {
    return this.#options.clock.now() - at;
  }
}

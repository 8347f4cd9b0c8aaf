/** `SESSION_STORE`: whether what is said is kept in the project's database, or ends with its worker. */

import { AgentError } from "./errors.ts";
import type { Log } from "./ports.ts";

/** How soon to try again where the migration is missing: somebody has to apply it. */
const RETRY_AFTER_MS = 30_000;

export interface StoreChoiceOptions<Durable> {
  mode: "auto" | "postgres" | "memory";
  log: Log;
  /** Undefined where there is no project to have one. */
  durable: Durable | undefined;
}

/** A store that can say whether it is there. */
export interface Probed {
  /** Whether the project has its tables and functions. Rejects with `store_unavailable` where that cannot be known. */
  probe(): Promise<"postgres" | "missing">;
}

/** Which it is takes a call to the database to know, so it is asked when it is first wanted. */
export class StoreChoice<Durable extends Probed> {
  readonly #options: StoreChoiceOptions<Durable>;
  #chosen: { durable: Durable | undefined } | undefined;
  #choosing: Promise<Durable | undefined> | undefined;

  constructor(options: StoreChoiceOptions<Durable>) {
    this.#options = options;
    if (options.mode === "memory" || options.durable === undefined) this.#chosen = { durable: undefined };
  }

  /** For `/health`; `unknown` until it was asked for. */
  get name(): "memory" | "postgres" | "unknown" {
    if (this.#chosen === undefined) return "unknown";
    return this.#chosen.durable === undefined ? "memory" : "postgres";
  }

  /** The durable store as far as is known; undefined where there is none. */
  get durable(): Durable | undefined {
    return this.#chosen?.durable;
  }

  /** The durable store; undefined where nothing outlives the worker. Rejects with `store_unavailable`. */
  async choose(): Promise<Durable | undefined> {
    if (this.#chosen !== undefined) return this.#chosen.durable;
    this.#choosing ??= this.#ask().finally(() => this.#choosing = undefined);
    return await this.#choosing;
  }

  async #ask(): Promise<Durable | undefined> {
    const { mode, log, durable } = this.#options;
    const found = await durable?.probe();
    if (found === "postgres") return this.#choose(durable);
    const advice = "apply supabase/migrations with: supabase db push --remote";
    if (mode === "postgres") {
      log.write({ level: "error", event: "store_missing", advice });
      throw new AgentError("store_unavailable", "Cannot use the session store: it is not set up", {
        retryable: true,
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    log.write({ level: "warn", event: "store_in_memory", durable: false, advice });
    return this.#choose(undefined);
  }

  #choose(durable: Durable | undefined): Durable | undefined {
    this.#chosen = { durable };
    return durable;
  }
}

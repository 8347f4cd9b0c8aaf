/** `SESSION_STORE`, as `notify_websocket` sees it: whether notifications are kept, and by whom. */

import { AgentError } from "../errors.ts";
import type { Log, NotificationStore } from "../ports.ts";

export interface NotificationStoreChoiceOptions {
  mode: "auto" | "postgres" | "memory";
  log: Log;
  /** Undefined where there is no project to have one; `probe` rejects where it cannot be known whether it has. */
  durable: NotificationStore & { probe(): Promise<"postgres" | "missing"> } | undefined;
}

export class NotificationStoreChoice {
  readonly #options: NotificationStoreChoiceOptions;
  #name: "memory" | "postgres" | "unknown" = "unknown";

  constructor(options: NotificationStoreChoiceOptions) {
    this.#options = options;
    if (options.mode === "memory" || options.durable === undefined) this.#name = "memory";
  }

  /** For `/health`; `unknown` before the first notification. */
  get name(): "memory" | "postgres" | "unknown" {
    return this.#name;
  }

  /** Undefined where notifications are not kept. Rejects with `store_unavailable`. */
  async choose(): Promise<NotificationStore | undefined> {
    const { mode, log, durable } = this.#options;
    if (this.#name === "unknown" && durable !== undefined) {
      const found = await durable.probe();
      if (found === "missing" && mode === "postgres") {
        log.write({ level: "error", event: "store_missing", advice: "apply supabase/migrations" });
        throw new AgentError("store_unavailable", "Cannot notify: the session store is not set up", {
          retryable: true,
          retryAfterMs: 30_000,
        });
      }
      this.#name = found === "postgres" ? "postgres" : "memory";
    }
    return this.#name === "postgres" ? durable : undefined;
  }
}

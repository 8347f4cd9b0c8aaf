/** Application heartbeats for the connections that asked for them: one timer, and only while there are any. */

import type { CancelTimer, Clock } from "../ports/runtime.ts";
import { stamp } from "../protocol/stamp.ts";
import type { Connection } from "./connection.ts";

export class Heartbeats {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #connections = new Set<Connection>();
  #cancel: CancelTimer | undefined;

  /** `intervalMs` 0 sends none. */
  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  add(connection: Connection): void {
    if (this.#intervalMs === 0) return;
    this.#connections.add(connection);
    this.#beatLater();
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #beatLater(): void {
    this.#cancel ??= this.#clock.after(this.#intervalMs, () => {
      this.#cancel = undefined;
      const timestamp = stamp(this.#clock.now());
      for (const connection of this.#connections) {
        connection.send({ type: "heartbeat", content: "heartbeat", timestamp });
      }
      if (this.#connections.size > 0) this.#beatLater();
    });
  }
}

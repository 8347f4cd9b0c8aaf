/** Watches the tokens of live connections: a notice before one ends, then the connection's end. */

import { AgentError } from "../errors.ts";
import type { CancelTimer, Clock } from "../ports/runtime.ts";
import { CLOSE } from "../protocol/close_codes.ts";
import { stamp } from "../protocol/stamp.ts";
import type { Connection } from "./connection.ts";

export class TokenExpiry {
  readonly #clock: Clock;
  readonly #noticeMs: number;
  readonly #timers = new Map<Connection, CancelTimer>();

  /** `noticeMs` before the end a notice is sent; 0 sends none. */
  constructor(clock: Clock, noticeMs: number) {
    this.#clock = clock;
    this.#noticeMs = noticeMs;
  }

  /** Watches a token that ends at `expiresAt` (milliseconds since the epoch), in place of the one before. */
  watch(connection: Connection, expiresAt: number): void {
    this.forget(connection);
    this.#arm(connection, { expiresAt, isNoticed: this.#noticeMs === 0 });
  }

  forget(connection: Connection): void {
    this.#timers.get(connection)?.();
    this.#timers.delete(connection);
  }

  #arm(connection: Connection, { expiresAt, isNoticed }: { expiresAt: number; isNoticed: boolean }): void {
    const due = isNoticed ? expiresAt : expiresAt - this.#noticeMs;
    const fire = (): void => isNoticed ? this.#end(connection) : this.#notice(connection, expiresAt);
    this.#timers.set(connection, this.#clock.after(Math.max(0, due - this.#clock.now()), fire));
  }

  #notice(connection: Connection, expiresAt: number): void {
    connection.send({
      type: "notification",
      code: "token_expiring",
      content:
        'The token ends soon: send {"type":"command","content":"auth","args":{"token":"…"}} to renew it',
      timestamp: stamp(this.#clock.now()),
      data: { expires_at: stamp(expiresAt) },
    });
    this.#arm(connection, { expiresAt, isNoticed: true });
  }

  #end(connection: Connection): void {
    this.#timers.delete(connection);
    connection.sendError(new AgentError("unauthorized", "The token has expired"));
    connection.close(CLOSE.tokenExpired);
  }
}

/** Several chats in one page: which of them have a connection. */

import type { AgentClient } from "./client.ts";
import { openTurnOf } from "./open_turn.ts";

/** A server limits the connections of a user, in all tabs together. */
const MAX_IDLE_CHATS = 3;

/**
 * Closes the connections of chats that are not used: those in which nothing is asked, except for the few that were used last.
 */
export class IdleConnections {
  /** The chats with a connection, the one that was used last at the end. */
  readonly #used = new Set<AgentClient>();
  readonly #closed = new WeakSet<AgentClient>();

  /** The client of a chat is about to be used. Connects it again if it was closed here. */
  use(client: AgentClient): AgentClient {
    if (this.#closed.delete(client)) void client.connect();
    this.#used.delete(client);
    this.#used.add(client);
    const idle = [...this.#used].filter((one) => openTurnOf(one) === undefined);
    for (const one of idle.slice(0, -MAX_IDLE_CHATS)) {
      this.#used.delete(one);
      this.#closed.add(one);
      one.close();
    }
    return client;
  }

  hasClosed(client: AgentClient): boolean {
    return this.#closed.has(client);
  }
}

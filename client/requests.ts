/** Commands and feedback under way: each is answered by one frame with its id. */

import { AgentClientError } from "./error.ts";
import type { StatusFrame } from "./frames.ts";
import type { Wire } from "./query_sender.ts";

/** Requests without an answer. */
const MAX_REQUESTS = 100;

interface Request {
  frame: { id: string };
  /** Doing it twice is the same as once. */
  isRepeatable: boolean;
  /** The connection that it was last sent on; 0 for none. */
  sentOn: number;
  resolve(frame: StatusFrame): void;
  reject(error: AgentClientError): void;
}

export class Requests {
  readonly #wire: Wire;
  readonly #all = new Map<string, Request>();

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /**
   * Sends a request now, or with the next connection. Rejects with what the server says, with `connection_lost` where it was
   * lost on the way and must not be repeated, and with `closed`.
   */
  send(frame: { id: string }, isRepeatable: boolean): Promise<StatusFrame> {
    return new Promise((resolve, reject) => {
      if (this.#all.size >= MAX_REQUESTS) {
        return reject(new AgentClientError("too_many_queued", "Cannot send: too many requests are waiting"));
      }
      this.#all.set(frame.id, { frame, isRepeatable, sentOn: 0, resolve, reject });
      this.flush();
    });
  }

  /** Takes an answer. False where it is to no request. */
  settle(id: string, answer: StatusFrame | AgentClientError): boolean {
    const request = this.#all.get(id);
    if (answer instanceof AgentClientError) request?.reject(answer);
    else request?.resolve(answer);
    return this.#all.delete(id);
  }

  /** The connection is gone: what was sent and must not be repeated has no answer any more. With `all`, the others too. */
  lost(why: AgentClientError, all: boolean): void {
    for (const [id, { isRepeatable, sentOn }] of this.#all) {
      if (all || (!isRepeatable && sentOn !== 0)) this.settle(id, why);
    }
  }

  flush(): void {
    const connection = this.#wire.connection();
    if (connection === 0) return;
    for (const request of this.#all.values()) {
      if (request.sentOn === connection) continue;
      request.sentOn = connection;
      this.#wire.send(request.frame);
    }
  }
}

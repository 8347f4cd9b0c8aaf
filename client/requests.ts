/** Pending commands and feedback: each is answered by one frame with its id. */

import { AgentClientError } from "./error.ts";
import type { StatusFrame } from "./frames.ts";
import type { Wire } from "./query_sender.ts";

/** How many requests may wait for an answer. */
const MAX_REQUESTS = 100;

interface Request {
  frame: { id: string };
  /** Idempotent: executing it twice has the same effect as once. */
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

  get isWaiting(): boolean {
    return this.#all.size > 0;
  }

  /**
   * Sends a request now, or with the next connection. Rejects with the server's error, with `closed`, or with
   * `connection_lost` if the connection was lost before the answer and the request must not be repeated.
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

  /** Handles an answer. Returns false if it belongs to no request. */
  settle(id: string, answer: StatusFrame | AgentClientError): boolean {
    const request = this.#all.get(id);
    if (answer instanceof AgentClientError) request?.reject(answer);
    else request?.resolve(answer);
    return this.#all.delete(id);
  }

  /**
   * The connection is lost: requests that were sent and must not be repeated get no answer. With `all`, the others fail
   * too.
   */
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

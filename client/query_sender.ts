/** Sends queries: in order, again if they may have been lost, and never more at once than the server accepts. */

import { AgentClientError } from "./error.ts";
import type { ClientPorts } from "./ports.ts";
import type { TurnRecord } from "./turn_record.ts";

/** Queries that may be in flight, neither accepted nor refused. More would only hit the rate limit. */
const MAX_UNDER_WAY = 8;
/** Queries at the server if it does not limit how many may wait there (its `MAX_QUEUE` is 0). */
const MAX_AT_SERVER = 100;
/** Sends of one query without any answer. A query that crashes every worker must not be sent forever. */
const MAX_SENDS = 10;

/** The current connection, as the sender sees it. */
export interface Wire {
  /** The number of the connection; 0 if there is none. */
  connection(): number;
  send(frame: object): void;
}

export interface QuerySenderOptions extends Wire {
  ports: ClientPorts;
  /** The turns to send: this client's unended turns, in the order in which they were asked. */
  pending(): readonly TurnRecord[];
}

export class QuerySender {
  readonly #options: QuerySenderOptions;
  #limits: Readonly<Record<string, number>> = {};
  #cancelPause: (() => void) | undefined;

  constructor(options: QuerySenderOptions) {
    this.#options = options;
  }

  /** There is a new connection, with the server's limits. */
  connected(limits: Readonly<Record<string, number>>): void {
    this.#limits = limits;
    this.resume();
  }

  /** Sends nothing for this time. */
  pause(ms: number): void {
    const { clock, random } = this.#options.ports;
    this.#cancelPause ??= clock.after(ms * (1 + random() / 4), () => this.resume());
  }

  resume(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    this.flush();
  }

  /** Sends what may be sent now, oldest first. */
  flush(): void {
    const connection = this.#options.connection();
    const pending = this.#options.pending();
    if (connection === 0 || this.#cancelPause !== undefined) return;
    const { max_queue: maxQueue } = this.#limits;
    const taken = pending.filter(({ isTaken }) => isTaken).length;
    const underWay = pending.filter(({ isTaken, sentOn }) => !isTaken && sentOn === connection).length;
    let room = Math.min(MAX_UNDER_WAY, (maxQueue || MAX_AT_SERVER) - taken) - underWay;
    for (const turn of pending) {
      const { frame, isTaken, sentOn, isCancelled } = turn;
      // For a cancelled turn, the answer to `cancel` shows whether the server has the query.
      if (frame === undefined || isTaken || sentOn === connection || isCancelled) continue;
      // A policy other than `queue` must not wait, nor must a query that ends others.
      const mayWait = (frame.policy ?? "queue") === "queue" && frame.replaces === undefined;
      if (room <= 0 && mayWait) continue;
      if (this.#refuse(turn)) continue;
      room--;
      turn.sentOn = connection;
      turn.sends++;
      this.#options.send(frame);
    }
  }

  /** Fails a turn that must not be sent. */
  #refuse(turn: TurnRecord): boolean {
    const { max_message_bytes: maxBytes = Infinity } = this.#limits;
    if (turn.sends >= MAX_SENDS) {
      turn.fail(new AgentClientError("undeliverable", `Cannot deliver query: sent ${MAX_SENDS} times`));
    } else if (utf8Bytes(JSON.stringify(turn.frame)) > (maxBytes || Infinity)) {
      // The server does not parse a frame that is too large, so its refusal could not name the query.
      turn.fail(new AgentClientError("message_too_large", `Cannot send query: more than ${maxBytes} bytes`));
    }
    return turn.isSettled;
  }
}

/** The length of JSON in UTF-8. Older versions of React Native have no `TextEncoder`. */
export function utf8Bytes(json: string): number {
  return encodeURIComponent(json).replace(/%../g, ".").length;
}

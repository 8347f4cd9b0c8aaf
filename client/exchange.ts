/** What is said between client and server: queries with their turns, commands, feedback; by whatever connection there is. */

import { Conversation } from "./conversation.ts";
import type { SentQuery } from "./cursor.ts";
import { AgentClientError, toError, type UnsentQuery } from "./error.ts";
import type { ErrorFrame, NotificationFrame, ServerFrame, StatusFrame } from "./frames.ts";
import { QuerySender, type Wire } from "./query_sender.ts";
import type { ClientPorts } from "./ports.ts";
import { Requests } from "./requests.ts";
import { TurnRecord } from "./turn_record.ts";

/** When a `cancel` that was refused for the moment is sent again, where the server does not say. */
const CANCEL_AGAIN_MS = 1000;
/** How often an answer that was interrupted is asked for again. */
const MAX_REPEATS = 3;

export interface ExchangeOptions extends Wire {
  ports: ClientPorts;
  /** Queries that may wait until the server has taken them. */
  maxQueued: number;
  /** Whether what the end of a worker interrupted is asked again. */
  repeatInterrupted: boolean;
  onTurn(turn: TurnRecord): void;
  /** A turn has ended. */
  onEnd(): void;
  onError(error: AgentClientError): void;
}

export class Exchange extends Conversation {
  readonly #options: ExchangeOptions;
  readonly #sender: QuerySender;
  readonly #requests: Requests;

  constructor(options: ExchangeOptions) {
    super({ onChange: options.onTurn, onCancel: (turn) => this.#cancel(turn) });
    this.#options = options;
    this.#sender = new QuerySender({ ...options, pending: () => this.pending });
    this.#requests = new Requests(options);
  }

  /** Takes a query, to be sent now or with the next connection. */
  ask(frame: SentQuery): TurnRecord {
    const waiting = this.pending.filter(({ isTaken }) => !isTaken).length;
    if (waiting >= this.#options.maxQueued) {
      const words = `Cannot ask: ${waiting} queries are waiting to be sent`;
      return this.refuse(frame, new AgentClientError("too_many_queued", words, { retryable: true }));
    }
    const turn = this.add(frame.id, frame);
    this.#sender.flush();
    return turn;
  }

  /** A turn that failed before it began, and is no part of the conversation. */
  refuse(frame: SentQuery, why: AgentClientError): TurnRecord {
    const turn = new TurnRecord(frame.id, frame, { onChange: () => {}, onCancel: () => {} });
    turn.fail(why);
    return turn;
  }

  request(frame: { id: string }, isRepeatable: boolean): Promise<StatusFrame> {
    return this.#requests.send(frame, isRepeatable);
  }

  /** A connection stands: sends what the server may not have. */
  connected({ resumed, limits = {} }: NotificationFrame): void {
    if (resumed === undefined || resumed.reason === "unknown_session") this.lost();
    else if (!resumed.recovered) {
      this.forgetOthers();
      // Their ends may be among the missing events: sending them again shows it.
      for (const turn of this.pending) turn.isTaken = false;
    }
    this.#sender.connected(limits);
    this.#requests.flush();
    for (const turn of this.turns) if (turn.isCancelled) this.#sendCancel(turn);
  }

  disconnected(): void {
    const words = "The connection was lost: whether it was done is not known";
    this.#requests.lost(new AgentClientError("connection_lost", words), false);
  }

  /** Fails everything without an answer. Returns the queries that the server never accepted, and keeps those that it did. */
  abandon(words: string): { unsent: UnsentQuery[]; taken: SentQuery[] } {
    const unsent: UnsentQuery[] = [];
    const taken: SentQuery[] = [];
    for (const turn of this.pending) {
      const { frame, isTaken } = turn;
      if (frame === undefined) continue;
      if (isTaken) taken.push(frame);
      else unsent.push({ id: frame.id, text: frame.content });
      turn.fail(closed(words, isTaken ? undefined : frame));
    }
    this.abandonOthers(closed(words));
    this.#requests.lost(closed(words), true);
    this.#sender.resume();
    return { unsent, taken };
  }

  /** Takes what a frame says of the query or the request with this id. */
  take(id: string, frame: ServerFrame, isDurable: boolean): void {
    if (frame.type === "error" && this.#takeError(id, frame, isDurable)) return;
    if (frame.type === "status" && this.#requests.settle(id, frame)) return;
    const ended = this.apply(id, frame);
    const turn = this.get(id);
    // Only what has its place in the log is sure to outlive the worker.
    if (turn !== undefined && isDurable) turn.isTaken = true;
    if (ended !== undefined) {
      this.#options.onEnd();
      // Whatever kept the others from being answered, it is over.
      for (const other of this.pending) other.sends = Math.min(other.sends, 1);
    }
    this.#sender.flush();
  }

  /** Takes an error that ends no turn, or one after which the query is sent again. */
  #takeError(id: string, frame: ErrorFrame, isDurable: boolean): boolean {
    const { code, retry_after_ms: retryAfterMs = 1000 } = frame;
    const turn = this.get(id);
    if (isDurable) {
      const mayRepeat = code === "interrupted" && this.#options.repeatInterrupted;
      if (!mayRepeat || !turn?.isMine || turn.isSettled || turn.isCancelled) return false;
      if (turn.repeats >= MAX_REPEATS) return false;
      // One that only waited has cost nothing.
      if (turn.state === "running") turn.repeats++;
      turn.restart(this.#options.ports.createId());
      this.#sender.flush();
    } else if (turn === undefined) {
      if (!this.#requests.settle(id, toError(frame))) this.#options.onError(toError(frame));
    } else if (code === "rate_limited" || code === "store_unavailable") {
      // What became of one that the log has, the log will tell.
      if (!turn.isTaken) {
        turn.sentOn = 0;
        turn.sends--;
      }
      this.#sender.pause(retryAfterMs);
      // Where the worker ends, the next connection is to another one.
    } else if (code !== "shutting_down") {
      turn.fail(toError(frame));
      this.#sender.flush();
    }
    return true;
  }

  #cancel(turn: TurnRecord): void {
    if (turn.isMine && turn.sends === 0) this.#cancelled(turn);
    else this.#sendCancel(turn);
  }

  /** Sends it to the server; without a connection it is sent after the next welcome. */
  #sendCancel(turn: TurnRecord): void {
    const { ports: { createId, clock }, connection } = this.#options;
    if (turn.isSettled || connection() === 0) return;
    const frame = { type: "command", content: "cancel", id: createId(), args: { id: turn.id } };
    this.#requests.send(frame, false).then(({ code }) => {
      // One that it has never seen: the query was lost on the way. Any other has ended, and the log will tell how.
      if (code === "nothing_to_cancel" && turn.isMine && !turn.isTaken) this.#cancelled(turn);
    }, ({ retryable, retryAfterMs = CANCEL_AGAIN_MS }: AgentClientError) => {
      if (retryable) clock.after(retryAfterMs, () => this.#sendCancel(turn));
    });
  }

  #cancelled(turn: TurnRecord): void {
    turn.finish({ text: turn.text, outcome: "cancelled", finishReason: "cancelled" });
    this.#sender.flush();
  }
}

/** The client is closed. `unsent` is what the server never took. */
export function closed(words: string, unsent?: SentQuery): AgentClientError {
  const error = new AgentClientError("closed", words, { retryable: true });
  error.unsent = unsent && { id: unsent.id, text: unsent.content };
  return error;
}

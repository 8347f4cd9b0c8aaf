/**
 * Queries with their turns, commands and feedback: everything that client and server exchange, over changing
 * connections.
 */

import { Conversation, nextIdOf } from "./conversation.ts";
import type { SentQuery } from "./cursor.ts";
import { AgentClientError, toError, type UnsentQuery } from "./error.ts";
import type { ErrorFrame, NotificationFrame, ServerFrame, StatusFrame } from "./frames.ts";
import { QuerySender, type Wire } from "./query_sender.ts";
import type { ClientPorts } from "./ports.ts";
import { Requests } from "./requests.ts";
import { TurnRecord } from "./turn_record.ts";

/** The delay before a temporarily refused `cancel` is sent again, if the server gives no delay. */
const CANCEL_AGAIN_MS = 1000;
/** The server does not have the query that is to be replaced. */
const UNKNOWN_QUERY: string = "unknown_query";
/** How often the client asks again for an interrupted answer. */
const MAX_REPEATS = 3;

export interface ExchangeOptions extends Wire {
  ports: ClientPorts;
  /** How many queries may wait until the server accepts them. */
  maxQueued: number;
  /** Whether to send a query again if the end of a worker interrupted it. */
  repeatInterrupted: boolean;
  /** Whether the replay of the current connection is complete. */
  isCaughtUp(): boolean;
  /** Keeps the queries and the stops for a reload. */
  save(): void;
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

  /** Accepts a query, to send it now or with the next connection. */
  ask(frame: SentQuery): TurnRecord {
    const waiting = this.pending.filter(({ isTaken }) => !isTaken).length;
    if (waiting >= this.#options.maxQueued) {
      const words = `Cannot ask: ${waiting} queries are waiting to be sent`;
      return this.refuse(frame, new AgentClientError("too_many_queued", words, { retryable: true }));
    }
    const turn = this.add(frame.id, this.#placed(frame));
    this.#sender.flush();
    return turn;
  }

  /** Takes over the unanswered queries of an earlier page. The server may have them. */
  restore({ pending, cancelled }: { pending: readonly SentQuery[]; cancelled: readonly string[] }): void {
    for (const frame of pending) {
      if (this.get(frame.id) !== undefined) continue;
      const turn = this.add(frame.id, frame);
      turn.isRestored = true;
      turn.isCancelled = cancelled.includes(frame.id);
    }
  }

  /** Whether something waits to be sent or answered. */
  get isWaiting(): boolean {
    return this.pending.length > 0 || this.#requests.isWaiting;
  }

  /** This client's turns of an earlier page that have not ended. */
  get restored(): readonly TurnRecord[] {
    return this.pending.filter(({ isRestored }) => isRestored);
  }

  /** A turn that failed before it began. It is not part of the conversation. */
  refuse(frame: SentQuery, why: AgentClientError): TurnRecord {
    const turn = new TurnRecord(frame.id, frame, { onChange: () => {}, onCancel: () => {} });
    turn.fail(why);
    return turn;
  }

  /**
   * The query as the server understands it: replaced queries that it has never seen are removed here, and the first that
   * it has is named instead.
   */
  #placed({ replaces, ...frame }: SentQuery): SentQuery {
    if (replaces === undefined) return frame;
    const branch = this.branchFrom(replaces);
    const seen = branch.find((turn) => !this.#isUnseen(turn));
    // What an unseen query was to replace is still to be replaced.
    const aim = seen === branch[0] ? undefined : branch[0]?.frame?.replaces;
    this.remove(branch.filter((turn) => this.#isUnseen(turn)));
    const target = branch.length === 0 ? replaces : aim ?? seen?.firstId;
    return target === undefined ? frame : { ...frame, replaces: target };
  }

  /** Whether the session at the server certainly does not have this turn: not sent, refused, or of an earlier session. */
  #isUnseen(turn: TurnRecord): boolean {
    if (turn.place === 0) return true;
    return turn.place === Infinity && turn.isMine && (turn.isSettled || this.#isUnsent(turn));
  }

  #isUnsent(turn: TurnRecord): boolean {
    return turn.isMine && turn.sends === 0 && !turn.isRestored;
  }

  request(frame: { id: string }, isRepeatable: boolean): Promise<StatusFrame> {
    return this.#requests.send(frame, isRepeatable);
  }

  /** A connection is ready: sends everything that the server may not have. */
  connected({ resumed, limits = {} }: NotificationFrame): void {
    const isGone = resumed?.reason === "unknown_session";
    // The new session has nothing that could be replaced.
    if (isGone) { for (const turn of this.pending) turn.replaceNothing(); }
    if (isGone || resumed === undefined) this.lost();
    else if (!resumed.recovered) {
      this.forgetOthers();
      // The missing events may include the ends of these turns. Sending the queries again shows it.
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

  /**
   * Fails everything without an answer: all turns, or these. Returns the queries that the server never accepted, and those
   * that it accepted.
   */
  abandon(words: string, turns = this.pending): { unsent: UnsentQuery[]; taken: SentQuery[] } {
    const unsent: UnsentQuery[] = [];
    const taken: SentQuery[] = [];
    for (const turn of turns) {
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

  /** Handles a frame about the query or request with this id. */
  take(id: string, frame: ServerFrame, isDurable: boolean): void {
    if (frame.type === "error" && this.#takeError(id, frame, isDurable)) return;
    if (frame.type === "status" && this.#requests.settle(id, frame)) return;
    if (frame.type === "status" && frame.code === "rewound") {
      const { query_id: replaced, from_seq: from } = frame.data ?? {};
      this.rewind(String(replaced), frame.seq ?? Infinity, typeof from === "number" ? from : undefined);
      return this.#sender.flush();
    }
    const ended = this.apply(id, frame);
    const turn = this.get(id);
    // Only an event with a place in the log is certain to survive the worker.
    if (turn !== undefined && isDurable) turn.isTaken = true;
    if (ended !== undefined) {
      this.#options.onEnd();
      // A turn has ended, so whatever blocked the other turns is over: reset their send counts.
      for (const other of this.pending) other.sends = Math.min(other.sends, 1);
    }
    this.#sender.flush();
  }

  /** Handles an error that does not end a turn, or after which the query is sent again. */
  #takeError(id: string, frame: ErrorFrame, isDurable: boolean): boolean {
    const { code, retryable, retry_after_ms: retryAfterMs = 1000 } = frame;
    const turn = this.get(id);
    if (isDurable) {
      const mayRepeat = code === "interrupted" && retryable === true && this.#options.repeatInterrupted;
      if (!mayRepeat || !turn?.isMine || turn.isSettled || turn.isCancelled) return false;
      if (turn.repeats >= MAX_REPEATS) return false;
      // A query that was only waiting has cost nothing.
      if (turn.state === "running") turn.repeats++;
      turn.restart(nextIdOf(turn.id));
      this.#sender.flush();
    } else if (turn === undefined) {
      if (!this.#requests.settle(id, toError(frame))) this.#options.onError(toError(frame));
    } else if (code === "rate_limited" || code === "store_unavailable") {
      // If the query is in the log, later events will show what happened to it.
      if (!turn.isTaken) {
        turn.sentOn = 0;
        turn.sends--;
      }
      this.#sender.pause(retryAfterMs);
    } else if (code === UNKNOWN_QUERY && turn.frame?.replaces !== undefined) {
      // The log has nothing to replace, for example because it is no longer kept.
      turn.replaceNothing();
      turn.sentOn = 0;
      this.#sender.flush();
      // With `shutting_down` the worker is ending: the next connection goes to another worker.
    } else if (code !== "shutting_down") {
      turn.fail(toError(frame));
      this.#sender.flush();
    }
    return true;
  }

  #cancel(turn: TurnRecord): void {
    if (this.#isUnsent(turn)) return this.#cancelled(turn);
    this.#options.save();
    this.#sendCancel(turn);
  }

  /** Sends the cancel to the server. Without a connection, it is sent after the next welcome. */
  #sendCancel(turn: TurnRecord): void {
    const { ports: { createId, clock }, connection, isCaughtUp } = this.#options;
    if (turn.isSettled || connection() === 0) return;
    const frame = { type: "command", content: "cancel", id: createId(), args: { id: turn.id } };
    this.#requests.send(frame, false).then(({ code }) => {
      // If the server has never seen the query, it was lost on the way. Any other turn has ended, and the log will show
      // how: perhaps in the replay that is still to come.
      if (code !== "nothing_to_cancel" || !turn.isMine || turn.isTaken) return;
      if (isCaughtUp()) this.#cancelled(turn);
      else clock.after(CANCEL_AGAIN_MS, () => this.#sendCancel(turn));
    }, ({ retryable, retryAfterMs = CANCEL_AGAIN_MS }: AgentClientError) => {
      if (retryable) clock.after(retryAfterMs, () => this.#sendCancel(turn));
    });
  }

  #cancelled(turn: TurnRecord): void {
    turn.finish({ text: turn.text, outcome: "cancelled", finishReason: "cancelled" });
    this.#sender.flush();
  }
}

/** The error after the client was closed. `unsent` is the query that the server never accepted. */
export function closed(words: string, unsent?: SentQuery): AgentClientError {
  const error = new AgentClientError("closed", words, { retryable: true });
  error.unsent = unsent && { id: unsent.id, text: unsent.content };
  return error;
}

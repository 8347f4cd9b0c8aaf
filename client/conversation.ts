/** The turns of a session, as its frames describe them: this client's turns and those of other clients. */

import type { SentQuery } from "./cursor.ts";
import { AgentClientError } from "./error.ts";
import type { ServerFrame } from "./frames.ts";
import { MessageList } from "./message_list.ts";
import { type TurnFrame, TurnRecord, type TurnWatcher } from "./turn_record.ts";
import type { AgentUIMessage } from "./ui_messages.ts";

/** Turns kept. Above this number, the oldest ended turns are removed. */
const MAX_TURNS = 500;

export class Conversation {
  readonly #watcher: TurnWatcher;
  /** In the order in which they were asked, as far as this client knows it. */
  #turns: TurnRecord[] = [];
  /** The turns that were replaced, by id, with the `seq` of their first event. The oldest are forgotten. */
  readonly #superseded = new Map<string, number>();
  readonly #messages = new MessageList();

  constructor(watcher: TurnWatcher) {
    this.#watcher = watcher;
  }

  get turns(): readonly TurnRecord[] {
    return this.#turns;
  }

  get messages(): AgentUIMessage[] {
    return this.#messages.of(this.#turns);
  }

  /** Handles an event of the session that may remove messages. */
  observe(frame: ServerFrame): void {
    this.#messages.take(frame, this.#turns);
  }

  /** This client's turns that have not ended. */
  get pending(): readonly TurnRecord[] {
    return this.#turns.filter(({ isMine, isSettled }) => isMine && !isSettled);
  }

  /** The unanswered queries, as frames to send. */
  get questions(): SentQuery[] {
    return this.pending.flatMap(({ frame }) => frame ?? []);
  }

  /** The ids of those that the user has stopped. */
  get cancelled(): string[] {
    return this.pending.filter(({ isCancelled }) => isCancelled).map(({ id }) => id);
  }

  get(id: string): TurnRecord | undefined {
    return this.#turns.find((turn) => turn.id === id);
  }

  /**
   * Adds a turn to the conversation: this client's, with its query, or another client's, of which only the id is known.
   */
  add(id: string, query?: SentQuery): TurnRecord {
    const turn = new TurnRecord(id, query, this.#watcher);
    this.#superseded.delete(id);
    this.#turns.push(turn);
    const oldest = this.#turns.findIndex(({ isSettled }) => isSettled);
    if (this.#turns.length > MAX_TURNS && oldest >= 0) this.#turns.splice(oldest, 1);
    this.#watcher.onChange(turn);
    return turn;
  }

  /** Applies a frame to the turn of the query with this id. Returns the turn if the frame ends it. */
  apply(id: string, frame: ServerFrame): TurnRecord | undefined {
    if (!isAboutTurn(frame) || this.#superseded.has(id)) return undefined;
    const turn = this.get(id) ?? this.add(id);
    const place = "seq" in frame && frame.seq || Infinity;
    if (place < turn.place) {
      turn.place = place;
      // After a reload, this client's unanswered turns are known before earlier turns are. (`sort` treats NaN as 0.)
      this.#turns.sort((a, b) => a.place - b.place);
    }
    turn.turnId ??= frame.turn_id;
    turn.take(frame);
    return turn.isSettled ? turn : undefined;
  }

  /**
   * The turns from the query with this id on, as far as they are known: those that a query which replaces it replaces. A
   * query that was asked again has several ids and, after a reload, several turns; the first counts.
   */
  branchFrom(id: string): TurnRecord[] {
    const first = firstIdOf(id);
    const at = this.#turns.findIndex((turn) => turn.id === id || turn.id === first || turn.firstId === first);
    return at < 0 ? [] : this.#turns.slice(at);
  }

  /** Removes turns that a query has replaced. */
  remove(turns: readonly TurnRecord[]): void {
    this.#turns = this.#turns.filter((turn) => !turns.includes(turn));
    for (const turn of turns) {
      for (const id of [turn.firstId, turn.id]) this.#superseded.set(id, turn.place);
      turn.supersede();
    }
    for (const id of this.#superseded.keys()) {
      if (this.#superseded.size <= MAX_TURNS) break;
      this.#superseded.delete(id);
    }
  }

  /**
   * The event with this `seq` says that the query with this id, and all that came between them, was replaced. `fromSeq` is the
   * place of that query.
   */
  rewind(id: string, seq: number, fromSeq: number | undefined): void {
    const [replaced] = this.branchFrom(id);
    // A query that this client has never seen is older than all that it has seen. Turns of an earlier session have place 0.
    const from = Math.max(1, fromSeq ?? replaced?.place ?? this.#superseded.get(id) ?? 1);
    this.remove(this.#turns.filter((turn) => turn === replaced || (turn.place >= from && turn.place <= seq)));
  }

  /** The session is gone: other clients' turns get no more events, and this client's turns restart. */
  lost(): void {
    this.abandonOthers(new AgentClientError("session_lost", "The session is gone", { retryable: true }));
    for (const turn of this.#turns) {
      // The turns of the next session come after all turns that have ended.
      if (turn.isSettled) turn.place = 0;
      else turn.restart();
    }
  }

  /** Fails the running turns of other clients. */
  abandonOthers(why: AgentClientError): void {
    for (const turn of this.#turns) if (!turn.isMine) turn.fail(why);
  }

  /** Events are missing: it is unknown whether another client's turn has ended, until an event of it arrives. */
  forgetOthers(): void {
    this.#turns = this.#turns.filter(({ isMine, isSettled }) => isMine || isSettled);
  }
}

/** The longest id that the server takes. */
const MAX_ID = 128;
const AGAIN = /~again(\d+)$/;

/**
 * The id under which an interrupted query is asked again. It follows from the id before: if two tabs ask again, that is
 * one query.
 */
export function nextIdOf(id: string): string {
  const times = Number(AGAIN.exec(id)?.[1] ?? 0);
  return `${firstIdOf(id).slice(0, MAX_ID - 10)}~again${times + 1}`;
}

/** The id under which a query was first asked. */
function firstIdOf(id: string): string {
  return id.replace(AGAIN, "");
}

/** Frames of unknown types belong to no turn. */
function isAboutTurn(frame: ServerFrame): frame is TurnFrame {
  return ["query", "delta", "reasoning", "response", "error"].includes(frame.type) ||
    (frame.type === "status" && ["thinking", "queued", "cancelled"].includes(frame.code));
}

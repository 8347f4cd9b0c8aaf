/** The turns of a session, of this client and of others, as its frames tell them. */

import type { SentQuery } from "./cursor.ts";
import { AgentClientError } from "./error.ts";
import type { ServerFrame } from "./frames.ts";
import { type TurnFrame, TurnRecord, type TurnWatcher } from "./turn_record.ts";

/** Turns kept: past it the oldest that have ended are forgotten. */
const MAX_TURNS = 500;

export class Conversation {
  readonly #watcher: TurnWatcher;
  /** In the order in which they were asked, as far as this client can tell. */
  #turns: TurnRecord[] = [];

  constructor(watcher: TurnWatcher) {
    this.#watcher = watcher;
  }

  get turns(): readonly TurnRecord[] {
    return this.#turns;
  }

  /** Our own without an end. */
  get pending(): readonly TurnRecord[] {
    return this.#turns.filter(({ isMine, isSettled }) => isMine && !isSettled);
  }

  /** What was asked and not answered, as it goes over the wire. */
  get questions(): SentQuery[] {
    return this.pending.flatMap(({ frame }) => frame ?? []);
  }

  get(id: string): TurnRecord | undefined {
    return this.#turns.find((turn) => turn.id === id);
  }

  /** Makes a turn part of the conversation: ours, with its query, or another client's, of which only the id is known. */
  add(id: string, query?: SentQuery): TurnRecord {
    const turn = new TurnRecord(id, query, this.#watcher);
    this.#turns.push(turn);
    const oldest = this.#turns.findIndex(({ isSettled }) => isSettled);
    if (this.#turns.length > MAX_TURNS && oldest >= 0) this.#turns.splice(oldest, 1);
    this.#watcher.onChange(turn);
    return turn;
  }

  /** Takes what a frame says of the turn of the query with this id. Answers with the turn if the frame ends it. */
  apply(id: string, frame: ServerFrame): TurnRecord | undefined {
    if (!isAboutTurn(frame)) return undefined;
    const turn = this.get(id) ?? this.add(id);
    const place = "seq" in frame && frame.seq || Infinity;
    if (place < turn.place) {
      turn.place = place;
      // After a reload our own unanswered ones are known before what came earlier. (To `sort` NaN is 0.)
      this.#turns.sort((a, b) => a.place - b.place);
    }
    turn.turnId ??= frame.turn_id;
    turn.take(frame);
    return turn.isSettled ? turn : undefined;
  }

  /** The session is gone: no more events of other clients' turns will come, and our own turns restart. */
  lost(): void {
    this.abandonOthers(new AgentClientError("session_lost", "The session is gone", { retryable: true }));
    for (const turn of this.#turns) {
      // The next session's places come after all that is over.
      if (turn.isSettled) turn.place = 0;
      else turn.restart();
    }
  }

  /** Ends the running turns of others. */
  abandonOthers(why: AgentClientError): void {
    for (const turn of this.#turns) if (!turn.isMine) turn.fail(why);
  }

  /** Events are missing: it is unknown whether another client's turn has ended, until an event of it comes. */
  forgetOthers(): void {
    this.#turns = this.#turns.filter(({ isMine, isSettled }) => isMine || isSettled);
  }
}

/** Frames of unknown types belong to no turn. */
function isAboutTurn(frame: ServerFrame): frame is TurnFrame {
  return ["query", "delta", "response", "error"].includes(frame.type) ||
    (frame.type === "status" && ["thinking", "queued", "cancelled"].includes(frame.code));
}

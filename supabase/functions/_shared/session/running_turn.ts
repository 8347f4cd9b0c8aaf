/** The turn that runs here: what is shown of it, how much of it the store has, and how far its end is. */

import type { Turn } from "../agent/turn.ts";
import { AgentError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { deltaEncoder } from "../protocol/delta_encoder.ts";
import type { Connection } from "./connection.ts";
import type { DeltaSource } from "./send_buffer.ts";
import { TurnRecord } from "./turn_record.ts";

export interface RunningTurnOptions {
  clock: Clock;
  /** Of the session, at any moment. */
  connections: Iterable<Connection>;
}

export class RunningTurn {
  readonly turn: Turn;
  readonly record: TurnRecord;
  /** Settles when the terminal event is out. */
  done: Promise<void> = Promise.resolve();
  /** The write that tells the store of the start, if it is on its way. */
  started: Promise<unknown> | undefined;
  isStartTold = false;
  /** The claim that was made for it has failed. */
  isUnclaimed = false;
  /** A checkpoint is on its way. */
  isWriting = false;
  readonly #connections: Iterable<Connection>;
  readonly #deltas: DeltaSource;
  #isEnding = false;
  #isReleased = false;

  constructor(turn: Turn, { clock, connections }: RunningTurnOptions) {
    this.turn = turn;
    this.record = new TurnRecord(turn);
    this.#connections = connections;
    const encode = deltaEncoder(turn.query.turnId, turn.query.queryId);
    this.#deltas = {
      get text() {
        return turn.text;
      },
      encode: (offset, content) => encode(offset, content, clock.now()),
    };
  }

  /** Its end is on the way to the log. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** This worker no longer answers it. Nothing of it is shown any more. */
  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Shows a piece of the text to those who want deltas. `offset` is in UTF-16 units. */
  show(offset: number, text: string): void {
    if (this.#isReleased) return;
    let encoded: string | undefined;
    for (const connection of this.#connections) {
      if (this.#isReader(connection)) {
        connection.sendDelta(this.#deltas, offset, encoded ??= this.#deltas.encode(offset, text));
      }
    }
  }

  /** Sends the text so far to a connection that has just caught up. */
  announceTo(connection: Connection): void {
    if (this.#isReleased || !connection.wantsDeltas || this.turn.text === "") return;
    connection.sendText(this.#deltas.encode(0, this.turn.text));
  }

  /** Its terminal event is there: what is held back of its deltas need not be sent. */
  end(): void {
    this.#isEnding = true;
    for (const connection of this.#connections) connection.dropHeldDeltas(this.#deltas);
  }

  /**
   * Gives the turn up: another worker answers it, or nobody. `shown` takes the place of the text that readers have of it;
   * without it they keep that. Only the first call does anything, so nothing can follow the end that came with it.
   */
  release(shown?: string): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.turn.stop({ signal: "interrupt", error: new AgentError("lease_lost", "taken over") });
    for (const connection of this.#connections) connection.dropHeldDeltas(this.#deltas);
    if (shown !== undefined && shown !== this.turn.text) this.#correct(shown);
  }

  #correct(text: string): void {
    const encoded = this.#deltas.encode(0, text);
    for (const connection of this.#connections) {
      if (this.#isReader(connection)) connection.sendText(encoded);
    }
  }

  #isReader(connection: Connection): boolean {
    const { connectionId, stream } = this.turn.query;
    const isWanted = connection.id === connectionId && stream !== undefined ? stream : connection.wantsDeltas;
    return isWanted && connection.isLive;
  }
}

/** The running answer of another worker, as far as its pieces have come over the relay. */

import { deltaEncoder } from "../protocol/delta_encoder.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import type { Clock } from "../ports.ts";
import type { Connection } from "./connection.ts";
import type { DeltaSource } from "./send_buffer.ts";

export type TailPiece = Extract<SessionCall, { kind: "tail" }>;
type Have = NonNullable<Extract<SessionCall, { kind: "tail_wanted" }>["have"]>;

export class RemoteTurn {
  readonly turnId: string;
  readonly #deltas: DeltaSource;
  /** Of the lease under which it is written. */
  #epoch: number;
  #text = "";

  constructor(clock: Clock, { turnId, queryId, epoch }: Pick<TailPiece, "turnId" | "queryId" | "epoch">) {
    this.turnId = turnId;
    this.#epoch = epoch;
    const encode = deltaEncoder(turnId, queryId);
    const textNow = (): string => this.#text;
    this.#deltas = {
      get text() {
        return textNow();
      },
      encode: (offset, content) => encode(offset, content, clock.now()),
    };
  }

  /** How far the pieces that have come reach. */
  get have(): Have {
    return { epoch: this.#epoch, turnId: this.turnId, offset: this.#text.length };
  }

  /**
   * Shows a piece to those who want deltas. Answers whether it could be: one before it may be missing. What comes from a
   * worker that has lost its lease, and does not know it yet, is nobody's answer any more.
   */
  take({ epoch, offset, content }: TailPiece, connections: Iterable<Connection>): boolean {
    if (epoch < this.#epoch) return true;
    const isSame = epoch === this.#epoch;
    if (offset > (isSame ? this.#text.length : 0)) return false;
    this.#epoch = epoch;
    const known = this.#text.slice(offset, offset + content.length);
    // Another worker has asked for it, or it has come twice: what is shown already is not shown again.
    if (isSame && content.startsWith(known)) {
      this.#change(offset + known.length, content.slice(known.length), connections);
    } else this.#change(offset, content, connections);
    return true;
  }

  /** The end has come, in the log: what was shown is made to be its beginning, if it is not. */
  end(content: string, connections: Iterable<Connection>): void {
    if (content.startsWith(this.#text)) {
      this.#change(this.#text.length, content.slice(this.#text.length), connections);
    } else this.#change(0, content, connections);
    this.drop(connections);
  }

  /** What is held back of it need not be sent. */
  drop(connections: Iterable<Connection>): void {
    for (const connection of connections) connection.dropHeldDeltas(this.#deltas);
  }

  /** Sends all there is to a connection, if it is shown deltas. */
  announceTo(connection: Connection): void {
    if (connection.isLive && connection.wantsDeltas && this.#text !== "") {
      connection.sendText(this.#deltas.encode(0, this.#text));
    }
  }

  #change(offset: number, content: string, connections: Iterable<Connection>): void {
    if (content === "" && offset === this.#text.length) return;
    this.#text = this.#text.slice(0, offset) + content;
    const encoded = this.#deltas.encode(offset, content);
    for (const connection of connections) {
      if (connection.isLive && connection.wantsDeltas) connection.sendDelta(this.#deltas, offset, encoded);
    }
  }
}

/** The running answer of another worker, as far as its pieces have come over the relay. */

import { deltaEncoder } from "../protocol/delta_encoder.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import type { Clock } from "../ports.ts";
import type { Connection } from "./connection.ts";
import type { DeltaSource } from "./outbox.ts";

export type TailPiece = Extract<SessionCall, { kind: "tail" }>;

export class RemoteTurn {
  readonly turnId: string;
  /** Of the lease under which it is written. */
  readonly epoch: number;
  readonly #deltas: DeltaSource;
  #text = "";

  constructor(clock: Clock, { turnId, queryId, epoch }: Pick<TailPiece, "turnId" | "queryId" | "epoch">) {
    this.turnId = turnId;
    this.epoch = epoch;
    const encode = deltaEncoder(turnId, queryId);
    const textNow = (): string => this.#text;
    this.#deltas = {
      get text() {
        return textNow();
      },
      encode: (offset, content) => encode(offset, content, clock.now()),
    };
  }

  /** Shows a piece to those who want deltas. Answers whether it could be: one before it may be missing. */
  take({ offset, content }: TailPiece, connections: Iterable<Connection>): boolean {
    if (offset > this.#text.length) return false;
    this.#text = this.#text.slice(0, offset) + content;
    if (content === "") return true;
    const encoded = this.#deltas.encode(offset, content);
    for (const connection of connections) {
      if (connection.isLive && connection.wantsDeltas) connection.sendDelta(this.#deltas, offset, encoded);
    }
    return true;
  }

  /** Sends all there is to a connection that has just caught up. */
  announceTo(connection: Connection): void {
    if (connection.wantsDeltas && this.#text !== "") {
      connection.sendText(this.#deltas.encode(0, this.#text));
    }
  }
}

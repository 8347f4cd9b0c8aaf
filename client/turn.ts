/** One query with its answer, as callers see it. */

import type { AgentClientError } from "./error.ts";
import type { ResponseFrame } from "./frames.ts";

/**
 * `waiting`: the server has not taken it yet. `queued`: it waits behind other queries. `running`: it is being answered. The
 * others are ends.
 */
export type TurnState = "waiting" | "queued" | "running" | "completed" | "cancelled" | "failed";

/** How a turn ended. */
export interface Answer {
  /** Whole where the outcome is `completed`; what was written where it is `cancelled`. */
  text: string;
  outcome: "completed" | "cancelled";
  /** `stop`, `length`, `content_filter`, …; of a cancelled turn why: `cancelled`, `interrupted`, `superseded`. */
  finishReason: string;
  model?: string;
  usage?: ResponseFrame["usage"];
  turnId?: string;
}

/**
 * A query and its answer.
 *
 * Iterating gives the text in pieces: put together they are a beginning of the answer, and all of it in the end. Iterators
 * are independent of each other, and each starts at the beginning. The iterator ends where the turn is completed or
 * cancelled, and throws an {@linkcode AgentClientError} where it fails. It survives reconnects. Only where the worker was
 * lost with its session, and the answer that the model then began anew does not begin with what was given already, it
 * throws `text_restarted`, while `text`, `snapshots()` and `final` go on and are right.
 */
export interface Turn extends AsyncIterable<string> {
  /** The id on the wire. It changes where an interrupted query is asked again. */
  readonly id: string;
  /** The server's id, once it is known: what feedback names. */
  readonly turnId: string | undefined;
  /** What was asked; undefined of another tab's running turn whose question came before this client did. */
  readonly question: string | undefined;
  /** Whether this client asked it, before a reload too. */
  readonly isMine: boolean;
  readonly state: TurnState;
  /** While it is queued: how many are before it, and one. */
  readonly position: number | undefined;
  /** The answer as far as it is known: always right, also after a reconnect. */
  readonly text: string;
  /** Why it failed. */
  readonly error: AgentClientError | undefined;
  /** Settles with the end of the turn, whole; rejects with an {@linkcode AgentClientError}. Need not be listened to. */
  readonly final: Promise<Answer>;
  /** The whole text so far, each time it has changed; a slow reader is given the newest only. Ends as the turn does. */
  snapshots(): AsyncIterable<string>;
  /** Stops the turn, across a reconnect if necessary. `final` then resolves with outcome `cancelled`. */
  cancel(): void;
}

/** One query with its answer, as callers see it. */

import type { AgentClientError } from "./error.ts";
import type { ResponseFrame } from "./frames.ts";

/**
 * `waiting`: the server has not accepted it yet. `queued`: it waits behind other queries. `running`: it is being
 * answered. The other states are final.
 */
export type TurnState = "waiting" | "queued" | "running" | "completed" | "cancelled" | "failed";

/** How a turn ended. */
export interface Answer {
  /** The complete text if the outcome is `completed`; the part that was written if it is `cancelled`. */
  text: string;
  outcome: "completed" | "cancelled";
  /**
   * `stop`, `length`, `content_filter`, …; for a cancelled turn the reason: `cancelled`, `interrupted`, `superseded`.
   */
  finishReason: string;
  model?: string;
  /** With `estimated: true` for a cancelled turn: its provider did not report them. */
  usage?: ResponseFrame["usage"];
  /** How many messages, oldest first, the model was not given because the conversation is too long for it. */
  trimmed?: number;
  /** Set if the worker that began the answer was lost: how the model was asked to continue. */
  continued?: ResponseFrame["continued"];
  turnId?: string;
}

/** A piece of a turn's text, or of its reasoning: `whole = whole.slice(0, offset) + text`. */
export interface Piece {
  type: "text" | "reasoning";
  /** Where it belongs, in UTF-16 units. It follows the piece of its type before it, unless the type starts again at 0. */
  offset: number;
  text: string;
}

/**
 * A query and its answer.
 *
 * Iterating gives the text in pieces. Together they are always a prefix of the answer, and in the end the complete
 * answer. Iterators are independent of each other, and each starts at the beginning. The iterator ends when the turn is
 * completed or cancelled. It throws an {@linkcode AgentClientError} if the turn fails. It survives reconnects, with one
 * exception: the worker was lost, the model started the answer again, and the new answer does not begin with the text
 * that was already yielded. Then the iterator throws `text_restarted`; `text`, `snapshots()`
 * and `final` continue and are correct.
 */
export interface Turn extends AsyncIterable<string> {
  /** The id in the frames. It changes if an interrupted query is sent again. */
  readonly id: string;
  /** The server's id, once it is known: feedback refers to it. */
  readonly turnId: string | undefined;
  /** The question; undefined for another tab's running turn if that was asked before this client connected. */
  readonly question: string | undefined;
  /** Whether this client asked it, including before a reload. */
  readonly isMine: boolean;
  readonly state: TurnState;
  /** Whether a later query has replaced it (`replaces`). Then it is no longer in the client's `turns`. */
  readonly isSuperseded: boolean;
  /** While it is queued: its place in the queue, from 1. */
  readonly position: number | undefined;
  /** The answer so far: always correct, also after a reconnect. */
  readonly text: string;
  /**
   * What the model thinks, so far; only with the option `reasoning`. It is not part of the answer. After a reconnect it may
   * lack a part, or start again with another worker.
   */
  readonly reasoning: string;
  /** Why it failed. */
  readonly error: AgentClientError | undefined;
  /**
   * Resolves with the complete answer when the turn ends; rejects with an {@linkcode AgentClientError}. You may ignore
   * it.
   */
  readonly final: Promise<Answer>;
  /**
   * The text and the reasoning in pieces. Unlike iterating the turn, this does not fail if the answer is restarted with
   * other text: the next piece of text has offset 0 and replaces what was yielded.
   */
  pieces(): AsyncIterable<Piece>;
  /** The whole text so far, after each change. A slow reader gets only the newest. Ends when the turn ends. */
  snapshots(): AsyncIterable<string>;
  /** Stops the turn, across a reconnect if necessary. `final` then resolves with outcome `cancelled`. */
  cancel(): void;
}

/**
 * One question and what this worker does about it.
 *
 * A turn is one of six things, each with its own fields only; a turn that was retracted is not in the state any more, and
 * of one that has ended only an {@linkcode EndedTurn} is kept. Neither has a text, so no effect can show any of it.
 *
 * ```text
 * proposed ─┬→ queued → running → ending → ended
 *           ├→ running (its model call had begun already)
 *           ├→ remote ⇄ queued      another worker's turn, or nobody's
 *           └→ retracted            the log did not take it, or had it before
 * ```
 */

import type { OpenTurn, StopRequest } from "../../ports/event_log.ts";
import type { QueryOptions } from "../../protocol/client_frames.ts";
import type { CancelledEvent, QueryEvent, TerminalEvent } from "../../protocol/log_event.ts";

/** A question as it was asked: its event, and what only the worker that took it knows. */
export interface Question extends QueryEvent {
  /** Whether the asking connection wants deltas of this turn; undefined leaves it to the connection. */
  stream: boolean | undefined;
  /** The keys of the budgets that its tokens count against; empty where the session's own are meant. */
  payers: readonly string[];
}

/** Why a turn is stopped on someone's wish. */
export type StopReason = CancelledEvent["reason"];

/** What there is of a model call that was begun before the question was in the log. Nothing of it is shown. */
export type Attempt =
  | { name: "none" }
  | { name: "calling"; call: number; text: string }
  | { name: "done"; end: TerminalEvent };

/** What earlier runs of a turn have left, at this worker or another. */
export type Begun = Pick<OpenTurn, "starts" | "partial">;

/** How much of a running turn the store has. */
export interface Kept {
  /** Whether the store knows that this run has begun. */
  isStarted: boolean;
  /** Checkpoints of this run; the first replaces what earlier runs have left. */
  pieces: number;
  chars: number;
}

/** Asked here; not in the log as far as this worker knows, or not known yet to be ours. */
export interface ProposedTurn {
  phase: "proposed";
  query: Question;
  attempt: Attempt;
  /** Connections that are told when the log has it, or has not. */
  askers: string[];
  /** Where its write is: not sent yet, in flight, or sent without anyone knowing what became of it. */
  write: "due" | "in_flight" | "in_doubt";
  /** Which turns before it are stopped once the log has it, and why. */
  displaces: StopRequest | undefined;
  /** Set where the log was read before the answer that says whose the turn is. */
  seq: number | undefined;
}

/** Ours to answer; it waits for its turn. */
export interface QueuedTurn {
  phase: "queued";
  query: Question;
  seq: number;
  /** Set where someone has begun it before. */
  begun: Begun | undefined;
  /** What readers here have of it. */
  shown: string;
}

/** Ours, and the model is being asked. The one phase in which text of ours is shown. */
export interface RunningTurn {
  phase: "running";
  query: Question;
  seq: number;
  call: number;
  /** The answer so far. */
  text: string;
  kept: Kept;
  /** When the next checkpoint is due, in milliseconds since the epoch. */
  checkpointAt: number;
}

/** Ours, and over; its end is not in the log yet. */
export interface EndingTurn {
  phase: "ending";
  query: Question;
  seq: number;
  end: TerminalEvent;
  /** What readers here have of it. */
  shown: string;
}

/** In the log without an end, and not ours: another worker answers it, or nobody does yet. */
export interface RemoteTurn {
  phase: "remote";
  query: Question;
  seq: number;
  /** What the store told with the lease. */
  begun: Begun | undefined;
  /** Why it is to be stopped, where the store told so with the lease. */
  stopped: StopReason | undefined;
  /** What is shown of it here, and the epoch of the worker that wrote it. */
  shown: { epoch: number; text: string };
}

export type Turn = ProposedTurn | QueuedTurn | RunningTurn | EndingTurn | RemoteTurn;
export type TurnPhase = Turn["phase"];

/** All that is kept of a turn with a terminal event. */
export interface EndedTurn {
  queryId: string;
  turnId: string;
  content: string;
  options: QueryOptions;
  /** Of the terminal event. */
  endSeq: number;
}

/** The text that readers here may have of a turn. */
export function shownOf(turn: Turn): string {
  switch (turn.phase) {
    case "proposed":
      return "";
    case "queued":
      return turn.shown;
    case "ending":
      return turn.shown;
    case "running":
      return turn.text;
    case "remote":
      return turn.shown.text;
  }
}

/** The answer as its terminal event has it. */
export function textOf(end: TerminalEvent): string {
  return end.kind === "response" ? end.content : end.partial;
}

/** The event for the log. */
export function toEvent({ stream: _stream, payers: _payers, ...event }: Question): QueryEvent {
  return event;
}

/** A turn that another worker answers, or nobody yet, and of which nothing more is known than its question. */
export function remoteTurn(query: Question, seq: number): RemoteTurn {
  return {
    phase: "remote",
    query,
    seq,
    begun: undefined,
    stopped: undefined,
    shown: { epoch: 0, text: "" },
  };
}

/** A question that was read in the log. */
export function fromEvent(
  { kind, queryId, turnId, content, options, priority, first, connectionId, feedback }: QueryEvent,
): Question {
  return {
    kind,
    queryId,
    turnId,
    content,
    options,
    priority,
    first,
    connectionId,
    feedback,
    stream: undefined,
    payers: [],
  };
}

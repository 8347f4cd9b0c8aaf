/**
 * One question and its answer, as this worker sees it.
 *
 * Each phase has its own fields. A retracted turn is removed from the state, and of an ended one only an {@linkcode EndedTurn} is
 * kept. Neither has text, so no effect can show any.
 *
 * ```text
 * proposed ─┬→ queued → running → ending → ended
 *           │    ↑         ↕
 *           │    └──── acting       tools are called; queued again while all that is left waits for somebody
 *           ├→ running              its model call was begun early
 *           ├→ remote ⇄ queued      this worker loses or gains the lease
 *           └→ retracted            the log did not accept it, or has had it before
 * ```
 */

import type { PlannedCall } from "../../ports/agent.ts";
import type { OpenTurn, StopRequest } from "../../ports/event_log.ts";
import type { QueryOptions } from "../../protocol/client_frames.ts";
import type { CancelledEvent, QueryEvent, TerminalEvent } from "../../protocol/log_event.ts";
import type { ToolEvent, ToolResultEvent } from "../../protocol/tool_events.ts";

/** A question: its event, and what only the worker that accepted it knows. */
export interface Question extends QueryEvent {
  /** Whether the asking connection wants deltas of this turn; undefined leaves it to the connection. */
  stream: boolean | undefined;
  /** The keys of the quotas that its tokens count against; empty for the session's own. */
  quotaKeys: readonly string[];
}

/** Why a turn is stopped on request. */
export type StopReason = CancelledEvent["reason"];

/** An early model call, begun before the question is in the log. None of its text or reasoning is shown. */
export type Attempt =
  | { name: "none" }
  | { name: "calling"; call: number; text: string; thoughts: string }
  | { name: "stepped"; text: string; thoughts: string; step: ModelStep }
  | { name: "done"; end: TerminalEvent; thoughts: string };

/** The end of a model call that wants tools to be called. */
export interface ModelStep {
  calls: readonly PlannedCall[];
  reasoningDetails?: readonly unknown[];
}

/** What earlier runs of the turn have left, at this worker or another. */
export interface Begun extends Pick<OpenTurn, "starts" | "startsWithoutText" | "partial"> {
  /** Set if it was this worker that has told the store so, and it never ran. */
  isOurs?: true;
}

/** What this worker has left of a turn that it has begun, and goes on with, here or elsewhere. */
export function begunHere(partial: string): Begun {
  return { starts: 1, startsWithoutText: 0, partial, isOurs: true };
}

/** How much of a running turn the store has. */
export interface Kept {
  /** Whether the store knows that this run has begun. */
  isStarted: boolean;
  /** Checkpoints of this run. The first one replaces the text of earlier runs, and repeats it. */
  pieces: number;
  /** How much of the text the store has, in UTF-16 units. */
  chars: number;
}

/** Asked here. Not in the log as far as this worker knows, or in the log with an unknown owner. */
export interface ProposedTurn {
  phase: "proposed";
  query: Question;
  attempt: Attempt;
  /** Connections that get a status or a refusal once the outcome is known. */
  askers: string[];
  /** The state of its write: not sent yet, in flight, or sent with an unknown outcome. */
  write: "due" | "in_flight" | "in_doubt";
  /** Which earlier turns are stopped once the log has it, and why. */
  displaces: StopRequest | undefined;
  /** Set if the log was read before the answer that says who owns the turn. */
  seq: number | undefined;
}

/** This worker will answer it; it waits. */
export interface QueuedTurn {
  phase: "queued";
  query: Question;
  seq: number;
  /** Set if it was begun before, here or elsewhere. */
  begun: Begun | undefined;
  /** The text that connections here were shown. */
  shown: string;
}

/** This worker is calling the model. The only phase in which text and reasoning of this worker are shown. */
export interface RunningTurn {
  phase: "running";
  query: Question;
  seq: number;
  call: number;
  /** The answer so far. */
  text: string;
  /** Where the text of this model call begins: behind that of the steps before. */
  base: number;
  /** How often the answer has begun again in this run. */
  restarts: number;
  /** The reasoning of this run so far. It ends with the run: no event, checkpoint or prompt has it. */
  thoughts: string;
  kept: Kept;
  /** When the next checkpoint is due, in milliseconds since the epoch. */
  checkpointAt: number;
}

export type Run =
  /** Its start is in the log, and the user in whose name it runs has left meanwhile: it waits for them until then. */
  | { name: "awaiting_user"; until: number }
  | { name: "running" }
  | { name: "done"; result: ToolResultEvent };

/**
 * The model has called tools, and this worker runs those that can run. What becomes of them is folded into the thread of the turn
 * (`SessionState.threads`); this is what is not in the log yet.
 */
export interface ActingTurn {
  phase: "acting";
  query: Question;
  seq: number;
  /** The answer so far. */
  text: string;
  restarts: number;
  kept: Kept;
  /** The calls of the step, until the log has them; then empty. */
  proposed: readonly ToolEvent[];
  /** Calls that run here, or have yet to. A result is kept until the log has it. */
  runs: Map<string, Run>;
}

/** Answered by this worker; the terminal event is not in the log yet. */
export interface EndingTurn {
  phase: "ending";
  query: Question;
  seq: number;
  end: TerminalEvent;
  /** Set if the question was superseded since: should the end be void, the turn is stopped. */
  isSuperseded?: true;
  /** What goes to the log before it: results of tools. */
  before: readonly ToolEvent[];
  /** The text that connections here were shown. */
  shown: string;
}

/** Text of another worker. `restarts`: how often its answer had begun again. */
export interface ShownText {
  epoch: number;
  restarts: number;
  text: string;
}

/** In the log without a terminal event, and not owned here: another worker answers it, or none does yet. */
export interface RemoteTurn {
  phase: "remote";
  query: Question;
  seq: number;
  /** From the answer to a claim. */
  begun: Begun | undefined;
  /** Why it has to be stopped, from the answer to a claim. */
  stopped: StopReason | undefined;
  /** The text that connections here were shown, and the epoch of the worker that wrote it. */
  shown: ShownText;
}

export type Turn = ProposedTurn | QueuedTurn | RunningTurn | ActingTurn | EndingTurn | RemoteTurn;
export type TurnPhase = Turn["phase"];

/** Why a turn ends as `interrupted`. */
export interface Interruption {
  content: string;
  /** Whether asking again may succeed. */
  retryable: boolean;
}

/** What is kept of a turn with a terminal event. */
export interface EndedTurn {
  queryId: string;
  turnId: string;
  content: string;
  options: QueryOptions;
  replaces: string | undefined;
  /** Of the terminal event. */
  endSeq: number;
}

/** The text that connections here may have been shown of a turn. */
export function shownOf(turn: Turn): string {
  switch (turn.phase) {
    case "proposed":
      return "";
    case "queued":
      return turn.shown;
    case "ending":
      return turn.shown;
    case "running":
    case "acting":
      return turn.text;
    case "remote":
      return turn.shown.text;
  }
}

/** Whether this run has text that the store does not have. */
export function hasNewText({ text, kept }: RunningTurn): boolean {
  return text.length > kept.chars;
}

/** The answer as its terminal event has it. */
export function textOf(end: TerminalEvent): string {
  return end.kind === "response" ? end.content : end.partial;
}

/** The event for the log. */
export function toEvent({ stream: _stream, quotaKeys: _quotaKeys, ...event }: Question): QueryEvent {
  return event;
}

/** A turn of which only the question is known; another worker answers it, or none does yet. */
export function remoteTurn(query: Question, seq: number): RemoteTurn {
  return {
    phase: "remote",
    query,
    seq,
    begun: undefined,
    stopped: undefined,
    shown: { epoch: 0, restarts: 0, text: "" },
  };
}

/** A question that was read in the log. */
export function fromEvent(
  { kind, queryId, turnId, content, options, priority, first, connectionId, feedback, replaces }: QueryEvent,
): Question {
  return {
    ...(replaces !== undefined && { replaces }),
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
    quotaKeys: [],
  };
}

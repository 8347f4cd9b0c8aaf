/** The effects of a step, as data. The driver performs them in order and does nothing else. */

import type { ErrorCode } from "../../errors.ts";
import type { LogWrite } from "../../ports/event_log.ts";
import type { ModelMessage } from "../../ports/model.ts";
import type { QueryOptions } from "../../protocol/client_frames.ts";
import type { LogEvent, TerminalEvent } from "../../protocol/log_event.ts";
import type { SessionCall } from "../../protocol/session_call.ts";
import type { Question } from "./turn.ts";

/** Why a request is refused. The driver adds the message. */
export interface Refusal {
  code: ErrorCode;
  retryAfterMs?: number;
}

/** What a read of the log is for. */
export type ReadPurpose =
  /** Events that this worker has not folded yet. */
  | { for: "log" }
  /** Events that a connection was not shown yet. */
  | { for: "replay"; connectionId: string }
  /** The terminal event of a turn, for a connection that has repeated its query. */
  | { for: "end"; connectionId: string; queryId: string; turnId: string };

export type Effect =
  /** Write to the log. Answered by `committed`, `rejected` or `in_doubt` with the same number. */
  | { kind: "commit"; number: number; write: LogWrite }
  /** Read the log. Answered by `page` or `read_failed` with the same purpose. */
  | { kind: "read"; purpose: ReadPurpose; afterSeq: number }
  /** Read the conversation before a `rewound` event, for its prompt. Answered by `recalled` or `recall_failed`. */
  | { kind: "recall"; beforeSeq: number; limit: number }
  /** Call the model. Answered by any number of `text` and `reasoning`, and one `model_ended`, with the same `call`. */
  | {
    kind: "ask";
    call: number;
    query: Question;
    messages: readonly ModelMessage[];
    /** The beginning of the answer, from an earlier run; empty for a new one. */
    partial: string;
    options: QueryOptions;
    /** Steps of the turn before this call, and how many of them had only calls that were refused. */
    steps: number;
    refused: number;
  }
  /** Run a tool. `isEdited`: a person has changed the input. Answered by one `acted` with the same `callId`, unless it is aborted. */
  | { kind: "act"; query: Question; callId: string; name: string; input: unknown; isEdited: boolean }
  /** Abort tools that run. What they still answer is ignored. */
  | { kind: "abort_acts"; callIds: readonly string[] }
  /** Abort a model call. Text that still comes is ignored. */
  | { kind: "abort"; call: number }
  /** Show an event of the log. Each connection gets each `seq` once, in order. */
  | { kind: "show"; event: LogEvent; to: readonly string[] }
  /** Show a page to one connection, as fast as it reads. Answered by `replayed`. */
  | { kind: "replay"; connectionId: string; events: readonly LogEvent[] }
  /** Show a piece of a running turn: `text.slice(0, offset) + content`. `offset` is in UTF-16 units. */
  | { kind: "delta"; turnId: string; queryId: string; offset: number; content: string; to: readonly string[] }
  /** Show a piece of a running turn's reasoning, addressed like a delta. */
  | {
    kind: "reasoning";
    turnId: string;
    queryId: string;
    offset: number;
    content: string;
    to: readonly string[];
  }
  /** The `status` that answers a query. Position 0: it runs. */
  | {
    kind: "acknowledge";
    to: readonly string[];
    queryId: string;
    turnId: string;
    seq: number | undefined;
    position: number;
  }
  /** Send a terminal event again, to a connection that has repeated its query. */
  | { kind: "repeat_end"; connectionId: string; event: LogEvent & TerminalEvent }
  /** Answer a query with an error: it was not accepted, or the outcome is unknown. */
  | { kind: "refuse"; to: readonly string[]; queryId: string; refusal: Refusal }
  /** The result of a request other than a query. */
  | { kind: "answer"; wish: string; result: WishResult }
  /** Send a message to the other workers that hold the session; best effort. */
  | { kind: "send"; call: SessionCall }
  /** Account for a model call of a turn that goes on with tools. */
  | { kind: "account_step"; query: Question }
  /** Account for a turn that has ended here. */
  | { kind: "account"; query: Question; end: TerminalEvent }
  /**
   * Account for a model call that was aborted. `in_vain`: its question was not accepted, or another worker answers it. `lost`:
   * another worker has taken the lease.
   */
  | { kind: "account_call"; query: Question; text: string; why: "in_vain" | "lost" }
  /** Close a connection to which some events can no longer be shown. */
  | { kind: "close_slow"; connectionId: string }
  /** An event was folded; for observers. */
  | { kind: "learnt"; event: LogEvent }
  /** This worker continues a turn that another worker has begun. */
  | { kind: "taken_over"; query: Question; how: "run" | "cancel" | "interrupt"; chars: number }
  /** One line for the log of the worker. */
  | {
    kind: "log";
    event: "commit_in_doubt" | "commit_rejected" | "lease_lost" | "read_failed";
    code?: ErrorCode;
  }
  /** The store has no such session: it was deleted. */
  | { kind: "gone" }
  /** Nothing runs here any more, and the lease is released. */
  | { kind: "drained" };

export type WishResult =
  | { ok: true; queryIds: readonly string[] }
  | { ok: false; refusal: Refusal };

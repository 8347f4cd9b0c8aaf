/** What the core wants done. The driver does it and nothing else; the order is the order of the list. */

import type { ErrorCode } from "../../errors.ts";
import type { LogWrite } from "../../ports/event_log.ts";
import type { ModelMessage } from "../../ports/model.ts";
import type { QueryOptions } from "../../protocol/client_frames.ts";
import type { LogEvent, TerminalEvent } from "../../protocol/log_event.ts";
import type { SessionCall } from "../../protocol/session_call.ts";
import type { Question } from "./turn.ts";

/** A refusal: the driver has the words. */
export interface Refusal {
  code: ErrorCode;
  retryAfterMs?: number;
}

/** What a read of the log is for. */
export type ReadPurpose =
  /** What this worker has not seen yet. */
  | { for: "log" }
  /** What a connection has not been shown yet. */
  | { for: "replay"; connectionId: string }
  /** The end of a turn, for a connection that has sent its query again. */
  | { for: "end"; connectionId: string; queryId: string; turnId: string };

export type Effect =
  /** Write to the log. Answered by `committed`, `rejected` or `in_doubt` with the same number. */
  | { kind: "commit"; number: number; write: LogWrite }
  /** Read the log. Answered by `page` or `read_failed` with the same purpose. */
  | { kind: "read"; purpose: ReadPurpose; afterSeq: number }
  /** Ask the model. Answered by any number of `text` and one `model_ended`, with the same `call`. */
  | { kind: "ask"; call: number; query: Question; messages: readonly ModelMessage[]; options: QueryOptions }
  /** Give a model call up. What it still says is ignored. */
  | { kind: "abort"; call: number }
  /** Show a durable event. The log has it; each connection gets each `seq` once, in order. */
  | { kind: "show"; event: LogEvent; to: readonly string[] }
  /** Show a page to one connection at the pace at which it reads. Answered by `replayed`. */
  | { kind: "replay"; connectionId: string; events: readonly LogEvent[] }
  /** Show a piece of a running turn: `text.slice(0, offset) + content`. `offset` is in UTF-16 units. */
  | { kind: "delta"; turnId: string; queryId: string; offset: number; content: string; to: readonly string[] }
  /** The `status` that answers a query: it runs (position 0), or waits at this position. */
  | {
    kind: "acknowledge";
    to: readonly string[];
    queryId: string;
    turnId: string;
    seq: number | undefined;
    position: number;
  }
  /** The terminal event once more, for a connection that has sent its query again. */
  | { kind: "repeat_end"; connectionId: string; event: LogEvent & TerminalEvent }
  /** A query was not taken, or nobody knows whether it was. */
  | { kind: "refuse"; to: readonly string[]; queryId: string; refusal: Refusal }
  /** A wish other than a query has come to this. */
  | { kind: "answer"; wish: string; result: WishResult }
  /** Tell the other workers that hold the session; best effort. */
  | { kind: "send"; call: SessionCall }
  /** A turn has ended here; its end is on the way to the log. */
  | { kind: "account"; query: Question; end: TerminalEvent }
  /**
   * A model call was given up with what it had written. `in_vain`: its question was not taken, or another worker answers it.
   * `lost`: another worker has taken the lease.
   */
  | { kind: "account_call"; query: Question; text: string; why: "in_vain" | "lost" }
  /** Close a connection that would be shown a hole. */
  | { kind: "close_slow"; connectionId: string }
  /** An event of the log was learnt; for whatever only watches. */
  | { kind: "learnt"; event: LogEvent }
  /** A turn that another worker has begun is going on here. */
  | { kind: "taken_over"; query: Question; how: "run" | "cancel" | "interrupt"; chars: number }
  /** One line for the log of the worker. */
  | {
    kind: "log";
    event: "commit_in_doubt" | "commit_rejected" | "lease_lost" | "read_failed";
    code?: ErrorCode;
  }
  /** The store says that the session is no more. */
  | { kind: "gone" }
  /** Nothing runs here any more, and nothing is held. */
  | { kind: "drained" };

export type WishResult =
  | { ok: true; queryIds: readonly string[] }
  | { ok: false; refusal: Refusal };

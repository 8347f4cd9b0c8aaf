/** The events of the state machine. */

import type { ErrorCode } from "../../errors.ts";
import type { Committed, LogPage, StopRequest, VisiblePage } from "../../ports/event_log.ts";
import type { QueuePolicy } from "../../protocol/queueing.ts";
import type {
  ClearedEvent,
  ConfiguredEvent,
  NotificationEvent,
  ResponseEvent,
} from "../../protocol/log_event.ts";
import type { SessionCall } from "../../protocol/session_call.ts";
import type { ReadPurpose, Refusal } from "./effect.ts";
import type { CallOutcome } from "../../ports/agent.ts";
import type { ApprovalDecidedEvent, ToolResultEvent } from "../../protocol/tool_events.ts";
import type { ModelStep, Question } from "./turn.ts";

/** How a model call ended. Its text came before, as `text` events. */
export type ModelOutcome =
  | {
    ok: true;
    reply: Pick<ResponseEvent, "finishReason" | "model" | "usage" | "continued" | "trimmed">;
    /** Set if it calls tools: then the turn goes on with them. */
    step?: ModelStep;
  }
  | { ok: false; code: ErrorCode; content: string; retryable: boolean; retryAfterMs?: number };

/** The event that a decision or a client's result becomes; the core adds whose it is. */
export type SettlingEvent =
  | Omit<ApprovalDecidedEvent, "queryId" | "turnId" | "callId">
  | Omit<ToolResultEvent, "queryId" | "turnId" | "callId" | "name">;

export type SessionEvent =
  // The clients
  /** `cursor`: the newest `seq` it has. `isResumed`: its client may repeat queries that it sent on another connection. */
  | {
    kind: "attach";
    connectionId: string;
    cursor: number;
    wantsDeltas: boolean;
    wantsReasoning: boolean;
    isResumed: boolean;
  }
  | { kind: "detach"; connectionId: string }
  | { kind: "set_deltas"; connectionId: string; wantsDeltas: boolean }
  /** The page of a `replay` effect was sent, up to `seq`. */
  | { kind: "replayed"; connectionId: string; seq: number }
  /** `refusal`: set if a limit forbids a new query. A query that is known is answered all the same. */
  | { kind: "ask"; query: Question; policy: QueuePolicy; refusal: Refusal | undefined }
  | { kind: "stop"; wish: string; stop: StopRequest }
  | { kind: "append"; wish: string; event: ClearedEvent | ConfiguredEvent | NotificationEvent }
  /** Somebody decides about a tool call, or a client sends the result of its own. */
  | { kind: "settle_call"; wish: string; callId: string; event: SettlingEvent }
  /** The session is in use, which the store has to know. */
  | { kind: "touch" }
  /** The comment of a `modify` feedback was recorded. */
  | { kind: "noted"; comment: string }
  // The store
  | { kind: "committed"; number: number; answer: Committed }
  | { kind: "rejected"; number: number; code: ErrorCode }
  | { kind: "in_doubt"; number: number }
  | { kind: "page"; purpose: ReadPurpose; afterSeq: number; page: LogPage }
  | { kind: "read_failed"; purpose: ReadPurpose; code: ErrorCode }
  | { kind: "recalled"; beforeSeq: number; page: VisiblePage }
  | { kind: "recall_failed"; beforeSeq: number; code: ErrorCode }
  /** The log reaches at least to this `seq`. */
  | { kind: "head"; seq: number }
  // The model
  | { kind: "text"; call: number; text: string }
  /** What the model thinks. It is not part of the answer, and a new beginning of the answer does not void it. */
  | { kind: "reasoning"; call: number; text: string }
  /** The model has begun a new answer: the text so far is void, that of earlier runs too. */
  | { kind: "restarted"; call: number }
  | { kind: "model_ended"; call: number; outcome: ModelOutcome }
  // The tools
  /** A call that `act` has started has ended. */
  | { kind: "acted"; callId: string; outcome: CallOutcome }
  // The other workers
  | { kind: "called"; call: SessionCall }
  // Time, and the worker's end
  | { kind: "wake" }
  /** Accept no more queries. `leave`: what to do with a turn that still runs at `deadline`. */
  | { kind: "drain"; deadline: number; leave: "interrupt" | "hand_over" }
  /** End everything at once and write nothing. */
  | { kind: "abandon" };

/** What can happen to a session at one worker. */

import type { ErrorCode } from "../../errors.ts";
import type { Committed, LogPage, StopRequest } from "../../ports/event_log.ts";
import type { QueuePolicy } from "../../protocol/queueing.ts";
import type {
  ClearedEvent,
  ConfiguredEvent,
  NotificationEvent,
  ResponseEvent,
} from "../../protocol/log_event.ts";
import type { SessionCall } from "../../protocol/session_call.ts";
import type { ReadPurpose, Refusal } from "./effect.ts";
import type { Question } from "./turn.ts";

/** How a model call ended. Its text has come as `text` before. */
export type ModelOutcome =
  | { ok: true; reply: Pick<ResponseEvent, "finishReason" | "model" | "usage"> }
  | { ok: false; code: ErrorCode; content: string; retryable: boolean; retryAfterMs?: number };

export type SessionEvent =
  // The clients
  /** `cursor`: the newest `seq` it has. `isResumed`: its client may send again what it sent on another connection. */
  | { kind: "attach"; connectionId: string; cursor: number; wantsDeltas: boolean; isResumed: boolean }
  | { kind: "detach"; connectionId: string }
  | { kind: "set_deltas"; connectionId: string; wantsDeltas: boolean }
  /** The connection has been sent the page that `replay` gave it. */
  | { kind: "replayed"; connectionId: string; seq: number }
  /** `refusal`: why a new query may not be taken, where a limit says so. One that is known is answered all the same. */
  | { kind: "ask"; query: Question; policy: QueuePolicy; refusal: Refusal | undefined }
  | { kind: "stop"; wish: string; stop: StopRequest }
  | { kind: "append"; wish: string; event: ClearedEvent | ConfiguredEvent | NotificationEvent }
  /** Tell the store that the session is in use. */
  | { kind: "touch" }
  /** The comment of a `modify` was recorded here. */
  | { kind: "noted"; comment: string }
  // The store
  | { kind: "committed"; number: number; answer: Committed }
  | { kind: "rejected"; number: number; code: ErrorCode }
  | { kind: "in_doubt"; number: number }
  | { kind: "page"; purpose: ReadPurpose; afterSeq: number; page: LogPage }
  | { kind: "read_failed"; purpose: ReadPurpose; code: ErrorCode }
  /** The log reaches at least to this `seq`. */
  | { kind: "head"; seq: number }
  // The model
  | { kind: "text"; call: number; text: string }
  | { kind: "model_ended"; call: number; outcome: ModelOutcome }
  // The other workers
  | { kind: "called"; call: SessionCall }
  // Time, and the worker's end
  | { kind: "wake" }
  /** Take no more queries. What still runs at `deadline` goes to `leave`. */
  | { kind: "drain"; deadline: number; leave: "interrupt" | "hand_over" }
  /** End everything at once and without a trace. */
  | { kind: "abandon" };

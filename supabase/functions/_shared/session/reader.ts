/** A connection as its session sees it. */

import type { AgentError } from "../errors.ts";
import type { LiveToken } from "../guard/identity.ts";
import type { Closing } from "../protocol/close_codes.ts";
import type { DeltaForm } from "../protocol/delta_encoder.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import type { DeltaSource } from "./send_buffer.ts";

export interface Reader {
  readonly id: string;
  /** What its limits are counted under. */
  readonly quotaKeys: readonly string[];
  wantsDeltas: boolean;
  readonly wantsReasoning: boolean;
  /** Whether its client knows the frames of tool calls. */
  readonly wantsTools: boolean;
  /** The user's token with its claims, if it has one that has not expired at `now` (milliseconds since the epoch). */
  accessToken(now: number): LiveToken | undefined;
  /** Whether nothing more can be sent. */
  readonly isGone: boolean;
  /** Bytes that wait for it, where it is behind. */
  readonly waitingBytes: number;
  send(frame: ServerFrame): void;
  /** Sends a frame that is encoded already. */
  sendText(text: string): void;
  sendError(error: AgentError, inReplyTo?: string): void;
  /** The form in which it is sent the next piece of a turn's text or reasoning. */
  formOf(source: DeltaSource): DeltaForm;
  /** Sends a piece of a turn's text or reasoning, encoded in that form, or holds it back while the reader is behind. */
  sendDelta(source: DeltaSource, offset: number, encoded: string): void;
  /** A turn has ended: what was held back of it is dropped. */
  dropHeldDeltas(source: DeltaSource): void;
  /** Settles when the reader has caught up with what it was sent; undefined where it has. */
  drained(): Promise<void> | undefined;
  close(closing: Closing): void;
}

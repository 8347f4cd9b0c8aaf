/** Frames that wait: for the decoder to be loaded, or for the connection's session. */

import { AgentError } from "../errors.ts";
import type { Decode, Decoded } from "../protocol/decode.ts";

/** Bytes of a connection's frames that wait while the decoder is loaded. */
const MAX_UNDECODED_BYTES = 1_048_576;
/** The same before it has a session: the sender is not known yet. */
const MAX_EARLY_BYTES = 262_144;

/** Bytes of one connection's frames that may wait. One frame of the largest size always may. */
export function maxWaitingBytes(isEarly: boolean, maxMessageBytes: number): number {
  return Math.max(isEarly ? MAX_EARLY_BYTES : MAX_UNDECODED_BYTES, maxMessageBytes);
}

export function tooManyAtOnce(): AgentError {
  return new AgentError("rate_limited", "Cannot take frame: too many came at once", { retryable: true });
}

/** Not inline: its closure keeps nothing but the frame, and only for a frame that will be decoded. */
export function readerOf(data: string | ArrayBuffer): (decode: Decode) => Decoded {
  return (decode) => decode(data);
}

/** Limits and encoding of relay payloads. */

import { AgentError } from "../errors.ts";

/**
 * Largest payload as JSON, in bytes. The smallest plan of Realtime allows 256 KB, which it measures in its own way. A larger message that
 * arrives over a socket is dropped there without an error.
 */
export const MAX_RELAY_PAYLOAD_BYTES = 250_000;

/**
 * Largest batch of payloads, in bytes: less than half, because a signed payload is a JSON string, in which each quotation mark and
 * backslash takes two bytes.
 */
export const MAX_RELAY_BATCH_BYTES = 124_000;

/**
 * Encodes the payload as JSON.
 *
 * Throws an {@linkcode AgentError} `message_too_large` above {@linkcode MAX_RELAY_PAYLOAD_BYTES}, and a `TypeError` if the payload is
 * not a JSON object, because Realtime would wrap any other value as `{"_json": …}`.
 */
export function encodeRelayPayload(payload: unknown): string {
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
    throw new TypeError("Cannot relay the payload: it is not an object");
  }
  const json = JSON.stringify(payload);
  // A UTF-16 code unit takes at most three bytes, so almost no message has to be measured.
  const bytes = json.length * 3 <= MAX_RELAY_PAYLOAD_BYTES ? 0 : utf8Bytes(json);
  if (bytes > MAX_RELAY_PAYLOAD_BYTES) {
    throw new AgentError(
      "message_too_large",
      `Cannot relay the message: it has ${bytes} bytes, and at most ${MAX_RELAY_PAYLOAD_BYTES} are allowed`,
    );
  }
  return json;
}

/** Bytes of `text` in UTF-8. A lone surrogate takes three, like the replacement character. */
export function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

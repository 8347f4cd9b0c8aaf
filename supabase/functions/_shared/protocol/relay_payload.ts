/** What a message on the relay may carry. */

import { AgentError } from "../errors.ts";

/**
 * Bytes of a payload as JSON. The smallest plan of Realtime lets 256 KB through, by a measure of its own; what is above it
 * is dropped there without a word when it comes over a socket.
 */
export const MAX_RELAY_PAYLOAD_BYTES = 250_000;

/**
 * Payloads that go together: less than half, as a signed payload is a text in JSON, where each quotation mark and backslash
 * takes two bytes.
 */
export const MAX_RELAY_BATCH_BYTES = 124_000;

/**
 * The payload as JSON.
 *
 * Throws an {@linkcode AgentError} `message_too_large` above {@linkcode MAX_RELAY_PAYLOAD_BYTES}, and a `TypeError` for
 * what is no JSON object: of anything else Realtime would make `{"_json": …}`.
 */
export function encodeRelayPayload(payload: unknown): string {
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
    throw new TypeError("Cannot relay the payload: it is not an object");
  }
  const json = JSON.stringify(payload);
  // No UTF-16 unit takes more than three bytes: almost no message has to be measured.
  const bytes = json.length * 3 <= MAX_RELAY_PAYLOAD_BYTES ? 0 : utf8Bytes(json);
  if (bytes > MAX_RELAY_PAYLOAD_BYTES) {
    throw new AgentError(
      "message_too_large",
      `Cannot relay the message: it has ${bytes} bytes, and at most ${MAX_RELAY_PAYLOAD_BYTES} are allowed`,
    );
  }
  return json;
}

/** How many bytes `text` takes in UTF-8; a half surrogate takes three, as the replacement character does. */
export function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** How large a frame is, and what becomes of one that is too large. */

import type { Decoded } from "../protocol/decode.ts";

/** A frame this many times over the limit is no mistake: the connection is closed. */
export const FAR_OVER = 16;

export function tooLarge(maxBytes: number): Decoded {
  const message = `Cannot take frame: it must have at most ${maxBytes} bytes`;
  return { problem: { code: "message_too_large", message } };
}

/** The bytes of a frame; for a text that is surely over `maxBytes`, or surely not, its length will do. */
export function sizeOf(data: string | ArrayBuffer, maxBytes: number): number {
  if (typeof data !== "string") return data.byteLength;
  // One UTF-16 unit takes at most three bytes.
  if (data.length > maxBytes || data.length * 3 <= maxBytes) return data.length;
  return new TextEncoder().encode(data).byteLength;
}

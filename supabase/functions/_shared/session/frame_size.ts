/** How large a frame is, without encoding one whose size is plain to see. */

import type { Decoded } from "../protocol/decode.ts";

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

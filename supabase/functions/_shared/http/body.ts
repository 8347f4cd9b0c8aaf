/** Reads a JSON body, and no more of it than is allowed. */

import type { Problem } from "./problems.ts";

export type Body = { json: unknown } | { refusal: Problem };

/** The body as JSON, or why it was not taken: 415, 413 or 400. Stops reading at `maxBytes`. */
export async function readBody(request: Request, maxBytes: number): Promise<Body> {
  const { headers } = request;
  if (!/^application\/json\b/i.test(headers.get("content-type") ?? "")) {
    return refuse(415, "unsupported_media_type", "Cannot read body: content-type must be application/json");
  }
  if ((headers.get("content-encoding") ?? "identity").toLowerCase() !== "identity") {
    return refuse(415, "unsupported_media_type", "Cannot read body: it must not be compressed");
  }
  const tooLarge = refuse(
    413,
    "message_too_large",
    `Cannot read body: it must have at most ${maxBytes} bytes`,
  );
  if (Number(headers.get("content-length") ?? 0) > maxBytes) return tooLarge;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) return tooLarge;
      text += decoder.decode(chunk, { stream: true });
    }
    text += decoder.decode();
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown;
    return refuse(400, "invalid_encoding", "Cannot read body: it must be UTF-8");
  }
  try {
    return { json: JSON.parse(text) };
  } catch {
    return refuse(400, "invalid_json", "Cannot read body: it is not JSON");
  }
}

function refuse(status: number, code: string, detail: string): { refusal: Problem } {
  return { refusal: { status, code, detail } };
}

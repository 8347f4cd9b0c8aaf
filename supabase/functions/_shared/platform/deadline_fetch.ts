/** `fetch` for text that is short and must come soon. */

import type { Clock } from "../ports/runtime.ts";

/** Far above a key set or a user. */
const MAX_ANSWER_CHARS = 1_048_576;

export type Fetch = typeof fetch;

/** A `fetch` that rejects unless the whole answer, a text of at most 1,048,576 characters, is here `timeoutMs` after the call. */
export function deadlineFetch(clock: Clock, timeoutMs: number): Fetch {
  return async (input, init) => {
    const controller = new AbortController();
    const cancel = clock.after(timeoutMs, () => {
      controller.abort(new DOMException(`No answer within ${timeoutMs} ms`, "TimeoutError"));
    });
    try {
      const response = await fetch(input, { ...init, signal: controller.signal });
      const text = await readText(response);
      // A 204 may have no body, not even an empty one.
      return new Response(text === "" ? null : text, response);
    } finally {
      cancel();
      // An answer that was given up half-read would hold its connection.
      controller.abort();
    }
  };
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ANSWER_CHARS) {
      throw new Error(`The answer is longer than ${MAX_ANSWER_CHARS} characters`);
    }
  }
  return text + decoder.decode();
}

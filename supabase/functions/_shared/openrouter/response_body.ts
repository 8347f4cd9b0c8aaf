/** From the response of a provider to the body that has the answer. */

import type { Clock } from "../ports/runtime.ts";
import { notAStream, webPage } from "./attempt_failure.ts";
import { readStart } from "./body_reader.ts";
import { httpFailure } from "./reported_error.ts";
import { parseRetryAfter } from "./retry_after.ts";

/** How much of an error's body is read. */
const MAX_ERROR_BYTES = 8192;
/** How long it is waited for: the status alone says what to do. */
const ERROR_WAIT_MS = 1000;

/**
 * The body of an answer, whatever its type is called: servers send event streams as `text/plain` or `application/octet-stream`, so
 * that {@linkcode BodyFeed} looks at its first character. Rejects with an {@linkcode AttemptFailure} if the response is an error, a
 * web page or nothing.
 */
export async function openBody(response: Response, clock: Clock): Promise<ReadableStream<Uint8Array>> {
  const { ok, status, body, headers } = response;
  const isPage = /^\s*(text\/html|application\/xhtml)\b/i.test(headers.get("content-type") ?? "");
  if (ok && !isPage && body !== null) return body;
  const detail = await readStart(body, { maxBytes: MAX_ERROR_BYTES, waitMs: ERROR_WAIT_MS, clock });
  if (ok) throw isPage ? webPage(detail) : notAStream(detail);
  throw httpFailure(status, { detail, retryAfterMs: parseRetryAfter(headers.get("retry-after"), clock) });
}

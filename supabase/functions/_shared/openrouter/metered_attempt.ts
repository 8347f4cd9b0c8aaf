/** Accounts for one request to the provider, whatever becomes of it. */

import type { Attempt, AttemptEnd } from "../ports/attempt.ts";
import type { ModelReply } from "../ports/model.ts";
import type { Usage } from "../protocol/log_event.ts";
import { AttemptFailure } from "./attempt_failure.ts";

/** What the provider has said of the request, however far that went. */
export interface Sighting {
  /** The HTTP status, once the headers have come. */
  status?: number;
  generationId?: string;
  model?: string;
  usage?: Usage;
  /** Called with each piece of the model's reasoning. */
  onThought?: (text: string) => void;
  /** Called with each piece of a tool call. */
  onCalled?: (text: string) => void;
}

/** Runs `ask`, and closes the attempt with its end. Rejects as `ask` does. */
export async function meterAttempt(
  attempt: Attempt,
  signal: AbortSignal,
  ask: (sighting: Sighting) => Promise<ModelReply>,
): Promise<ModelReply> {
  const sighting: Sighting = {
    onThought: (text) => attempt.thought(text),
    onCalled: (text) => attempt.said(text),
  };
  let how: AttemptEnd["how"] = "unsent";
  try {
    // It may have waited for the budget.
    signal.throwIfAborted();
    how = "failed";
    const reply = await ask(sighting);
    how = "completed";
    return reply;
  } catch (thrown) {
    if (how !== "unsent") how = signal.aborted ? "aborted" : failedHow(thrown, sighting);
    throw thrown;
  } finally {
    const { status: _, onThought: __, onCalled: ___, ...known } = sighting;
    attempt.end({ how, ...known });
  }
}

function failedHow(thrown: unknown, { status }: Sighting): AttemptEnd["how"] {
  if (!(thrown instanceof AttemptFailure)) return "failed";
  // The runtime's words (Deno 2.1 to 2.9) for a name that is not found and a connection that is not made. After any other failure
  // the request may have arrived.
  if (status === undefined) return thrown.detail.includes("client error (Connect)") ? "unsent" : "failed";
  return status >= 400 && status < 500 && status !== 408 ? "refused" : "failed";
}

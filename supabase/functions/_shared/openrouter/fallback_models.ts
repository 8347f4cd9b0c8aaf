/** The models of a request, asked one after another: OpenRouter does this by itself, no other endpoint does. */

import type { ModelReply } from "../ports/model.ts";
import type { AdaptedRequest, Attempt } from "./adapted_request.ts";
import { AttemptFailure } from "./attempt_failure.ts";
import { lacksTools } from "./refused_tools.ts";

export interface AskInTurnOptions {
  attempt: Attempt;
  /** Whether text was passed on: then no other model is asked. */
  hasBegun(): boolean;
  /** Gets each failure after which another model is asked, or an earlier failure is thrown. */
  onFailure(failure: AttemptFailure): void;
}

/** The provider does not have the model: another one may be there. */
const NO_SUCH_MODEL = /model_not_found|model_decommissioned|invalid[ _]model/i;

/**
 * Answers with the reply of the first model that gives one. The next one is asked at once if a model failed before its first text
 * in a way that may pass, does not exist, takes shorter prompts only, or does not support tools.
 * Throws the last failure that may pass; if none may, the last one.
 */
export async function askInTurn(
  requests: readonly AdaptedRequest[],
  { attempt, hasBegun, onFailure }: AskInTurnOptions,
): Promise<ModelReply> {
  let passing: AttemptFailure | undefined;
  const rest = [...requests];
  for (;;) {
    const request = rest.shift();
    if (request === undefined) throw new Error("Cannot ask: the request names no model");
    try {
      return await request.ask(attempt, hasBegun);
    } catch (thrown) {
      if (!(thrown instanceof AttemptFailure) || hasBegun()) throw thrown;
      if (thrown.askAgain) passing = thrown;
      const isLast = rest.length === 0 || !mayFallBack(thrown);
      if (isLast && (passing === undefined || passing === thrown)) throw thrown;
      onFailure(thrown);
      if (isLast) throw passing;
    }
  }
}

function mayFallBack(failure: AttemptFailure): boolean {
  const { askAgain, code, status, detail } = failure;
  return askAgain || code === "prompt_too_long" || status === 404 || NO_SUCH_MODEL.test(detail) ||
    lacksTools(failure);
}

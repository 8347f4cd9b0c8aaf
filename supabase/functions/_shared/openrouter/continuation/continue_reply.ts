/**
 * Continues an answer: asks for the rest of it in one way after another, until a reply can be joined to it or
 * replaces it.
 */

import { AgentError } from "../../errors.ts";
import type { ModelReply, ModelRequest, ReplyOptions } from "../../ports/model.ts";
import type { ContinueWay } from "../../protocol/log_event.ts";
import { AttemptFailure } from "../attempt_failure.ts";
import { type BegunAnswer, readBegun } from "./begun_answer.ts";
import { Seam, type SeamFailure, type SeamStep } from "./seam.ts";
import { messagesFor, type PrefillModels, type PromptMessage, waysFor } from "./ways.ts";

/** Statuses with which a provider refuses messages of this form; another form may be accepted. */
const REFUSALS = [400, 413, 422];

export interface ContinueDeps {
  prefillModels: PrefillModels;
  /** Whether a prefill is marked with `prefix: true`. */
  prefix: boolean;
  /** Asks once. */
  attempt(
    request: ModelRequest,
    messages: readonly PromptMessage[],
    options: Pick<ReplyOptions, "onText" | "signal">,
  ): Promise<ModelReply>;
  /** Repeats an attempt that failed with an {@linkcode AttemptFailure}, as long as `hasBegun` is false. */
  retry(
    attempt: () => Promise<ModelReply>,
    options: { hasBegun(): boolean; signal: AbortSignal },
  ): Promise<ModelReply>;
  /** A way has brought no text. `failure`: the refusal of the provider, if that is why. */
  onFailed(
    failed: {
      way: ContinueWay;
      why: SeamFailure | "refused";
      model: string;
      failure: AttemptFailure | undefined;
    },
  ): void;
}

/** A way has brought nothing. The next one is tried at once. */
class WayFailed extends Error {
  override readonly name = "WayFailed";
  readonly why: SeamFailure | "refused";
  readonly failure: AttemptFailure | undefined;

  constructor(why: WayFailed["why"], failure?: AttemptFailure) {
    super(`Cannot continue the answer: ${why}`);
    this.why = why;
    this.failure = failure;
  }
}

/**
 * Rejects as {@linkcode ContinueDeps.retry} does, and with `model_stream_broken` if no way brings any text.
 */
export async function continueReply(
  request: ModelRequest,
  options: ReplyOptions,
  deps: ContinueDeps,
): Promise<ModelReply> {
  const begun = readBegun(request.partial);
  const model = request.models[0] ?? "";
  const ways = waysFor(begun, { takesPrefill: deps.prefillModels.has(model) });
  const tried: ContinueWay[] = [];
  let refusesPrefill = false;
  for (const way of ways) {
    tried.push(way);
    const isLast = tried.length === ways.length;
    try {
      const reply = await askInWay(way, { request, begun, isLast }, options, deps);
      // A request that is refused in every way is not refused because of the prefill.
      if (refusesPrefill) deps.prefillModels.refused(model);
      return { ...reply, continued: { ways: tried } };
    } catch (thrown) {
      if (!(thrown instanceof WayFailed)) throw thrown;
      const { why, failure } = thrown;
      deps.onFailed({ way, why, model, failure });
      if (way === "prefill" && why === "refused") refusesPrefill = true;
      else if (refusesPrefill && why !== "refused") deps.prefillModels.refused(model);
    }
  }
  throw new AgentError("model_stream_broken", "the model did not continue its answer", { retryable: true });
}

interface Asked {
  request: ModelRequest;
  begun: BegunAnswer;
  isLast: boolean;
}

function askInWay(
  way: ContinueWay,
  { request, begun, isLast }: Asked,
  { onText, onRestart, signal }: ReplyOptions,
  deps: ContinueDeps,
): Promise<ModelReply> {
  const messages = messagesFor(way, request, { begun, prefix: deps.prefix });
  let isOpen = false;
  const attempt = async (): Promise<ModelReply> => {
    const seam = new Seam(way, begun);
    const failing = new AbortController();
    const take = (step: SeamStep): void => {
      if (step.kind === "failed") return failing.abort(new WayFailed(step.why));
      if (step.kind === "hold") return;
      isOpen = true;
      if (step.restarts) onRestart?.();
      if (step.text !== "") onText(step.text);
    };
    const takeText = (text: string): void => {
      if (isOpen) onText(text);
      else if (!failing.signal.aborted) take(seam.push(text));
    };
    try {
      const joined = AbortSignal.any([signal, failing.signal]);
      const reply = await deps.attempt(request, messages, { onText: takeText, signal: joined });
      if (!isOpen) take(seam.end(reply.finishReason));
      failing.signal.throwIfAborted();
      return reply;
    } catch (thrown) {
      const isRefused = thrown instanceof AttemptFailure && REFUSALS.includes(thrown.status ?? 0);
      throw isRefused && !isOpen && !isLast ? new WayFailed("refused", thrown) : thrown;
    }
  };
  return deps.retry(attempt, { hasBegun: () => isOpen, signal });
}

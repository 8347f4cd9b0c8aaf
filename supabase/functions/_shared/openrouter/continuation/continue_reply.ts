/**
 * Continues an answer: asks for the rest of it in one way after another, until a reply can be joined to it or
 * replaces it.
 */

import { AgentError } from "../../errors.ts";
import type { AttemptMeter } from "../../ports/attempt.ts";
import type { ModelReply, ModelRequest, ReplyOptions } from "../../ports/model.ts";
import type { ContinueWay } from "../../protocol/log_event.ts";
import type { AttemptFailure } from "../attempt_failure.ts";
import { type BegunAnswer, readBegun } from "./begun_answer.ts";
import { Seam, type SeamFailure, type SeamStep } from "./seam.ts";
import { type PrefillModels, type PromptMessage, tailFor, waysFor } from "./ways.ts";

/** Statuses with which a provider refuses messages of this form; another form may be accepted. */
const REFUSALS = [400, 413, 422];

/** Receives the reply of one attempt, and aborts it. */
export interface Receive extends Pick<ReplyOptions, "onText" | "onReasoning" | "signal"> {
  /** Called when the first of several tool calls is whole. */
  onCall?(): void;
}

/** How a request is asked. */
export interface Asking {
  /** Messages behind the question: the beginning of its answer, and a request to continue it. */
  tail: readonly PromptMessage[];
  /** Whether text was handed on, or a tool call is whole: then nothing is asked again. */
  hasBegun(): boolean;
  signal: AbortSignal;
  meter: AttemptMeter | undefined;
  /** Makes one attempt, by `send`. Called again for each further one. */
  attempt(send: (receive: Receive) => Promise<ModelReply>): Promise<ModelReply>;
  /** Gets a failure before it is logged or asked again; may throw another error in its place. */
  onFailure?(failure: AttemptFailure): void;
}

export interface ContinueDeps {
  prefillModels: PrefillModels;
  /** Whether a prefill is marked with `prefix: true`. */
  prefix: boolean;
  /** Asks until there is a reply, or a failure that does not pass. Other errors of an attempt are thrown as they are. */
  ask(request: ModelRequest, asking: Asking): Promise<ModelReply>;
  /** A way has brought no text. `failure`: the refusal of the provider, if that is why. */
  onFailed(
    failed: {
      way: ContinueWay;
      why: WayFailure;
      model: string;
      failure: AttemptFailure | undefined;
    },
  ): void;
}

/** `refused`: the provider refuses messages of this form. `too_long`: the prompt is, with the answer so far. */
type WayFailure = SeamFailure | "refused" | "too_long";

/** A way has brought nothing. The next one is tried at once. */
class WayFailed extends Error {
  override readonly name = "WayFailed";
  readonly why: WayFailure;
  readonly failure: AttemptFailure | undefined;

  constructor(why: WayFailure, failure?: AttemptFailure) {
    super(`Cannot continue the answer: ${why}`);
    this.why = why;
    this.failure = failure;
  }
}

/**
 * Rejects as {@linkcode ContinueDeps.ask} does, and with `model_stream_broken` if no way brings any text.
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
      else if (refusesPrefill && why !== "refused" && why !== "too_long") deps.prefillModels.refused(model);
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
  { onText, onRestart, onReasoning, signal, meter }: ReplyOptions,
  deps: ContinueDeps,
): Promise<ModelReply> {
  let isOpen = false;
  let hasCalled = false;
  const attempt: Asking["attempt"] = async (send) => {
    const seam = new Seam(way, begun);
    const failing = new AbortController();
    const take = (step: SeamStep): void => {
      if (step.kind === "failed") return failing.abort(new WayFailed(step.why));
      if (step.kind === "hold") return;
      isOpen = true;
      if (step.restarts) onRestart?.();
      if (step.text !== "") onText(step.text);
    };
    let hasText = false;
    const takeText = (text: string): void => {
      hasText = true;
      if (isOpen) onText(text);
      else if (!failing.signal.aborted) take(seam.push(text));
    };
    const onCall = (): void => void (hasCalled = true);
    const receive: Receive = { onText: takeText, onCall, signal: AbortSignal.any([signal, failing.signal]) };
    if (onReasoning !== undefined) receive.onReasoning = onReasoning;
    const reply = await send(receive);
    // A reply that only calls tools says nothing of the answer so far: that stays.
    const isStep = reply.calls !== undefined && !hasText;
    if (!isOpen && !isStep) take(seam.end(reply.finishReason));
    failing.signal.throwIfAborted();
    return reply;
  };
  const asked = way === "restart" ? { ...request, partial: "" } : request;
  const tail = tailFor(way, { begun, prefix: deps.prefix });
  const onFailure = (failure: AttemptFailure): void => {
    if (isOpen || hasCalled || isLast) return;
    if (failure.code === "prompt_too_long") throw new WayFailed("too_long", failure);
    if (failure.code === "empty_answer") throw new WayFailed("nothing_new", failure);
    if (REFUSALS.includes(failure.status ?? 0)) throw new WayFailed("refused", failure);
  };
  return deps.ask(asked, { tail, hasBegun: () => isOpen || hasCalled, signal, meter, attempt, onFailure });
}

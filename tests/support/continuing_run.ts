/**
 * Runs the continuation of an answer against a model of `continuing_models.ts`, without network and clock.
 */

import { AttemptFailure } from "../../supabase/functions/_shared/openrouter/attempt_failure.ts";
import {
  type ContinueDeps,
  continueReply,
  type Receive,
} from "../../supabase/functions/_shared/openrouter/continuation/continue_reply.ts";
import { PrefillModels } from "../../supabase/functions/_shared/openrouter/continuation/ways.ts";
import type { ModelReply } from "../../supabase/functions/_shared/ports/model.ts";
import type { ContinueWay } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { readAskedTo } from "../../local/asked_to.ts";
import { type Answers, type BehaviourName, replyTo } from "./continuing_models.ts";

export interface ContinuingRun {
  /** What a client has in the end. */
  text: string;
  ways: readonly ContinueWay[];
  restarts: number;
  /** Whether the answer was replaced after some of its continuation was shown. */
  restartedLate: boolean;
  failed: { way: ContinueWay; why: string }[];
}

export interface ContinuingSetup extends Answers {
  /** The answer so far, as the core has it. */
  partial: string;
  behaviour: BehaviourName;
  takesPrefill: boolean;
  /** Splits a reply into the pieces in which it arrives. */
  split(text: string): readonly string[];
}

export async function runContinuation(setup: ContinuingSetup): Promise<ContinuingRun> {
  const { partial, behaviour, takesPrefill, split } = setup;
  const run: ContinuingRun = { text: partial, ways: [], restarts: 0, restartedLate: false, failed: [] };
  const deps: ContinueDeps = {
    prefillModels: new PrefillModels(takesPrefill ? ["*"] : []),
    prefix: false,
    async ask({ messages }, { tail, attempt, onFailure }): Promise<ModelReply> {
      const reply = replyTo(readAskedTo([...messages, ...tail]).asked, setup, behaviour);
      try {
        return await attempt(({ onText, signal }) => send(reply, { onText, signal, split }));
      } catch (thrown) {
        if (thrown instanceof AttemptFailure) onFailure?.(thrown);
        throw thrown;
      }
    },
    onFailed: ({ way, why }) => void run.failed.push({ way, why }),
  };
  let isShown = false;
  const reply = await continueReply(
    { messages: [{ role: "user", content: "?" }], partial, models: ["m"], temperature: 0, maxTokens: 9 },
    {
      onText: (text) => {
        run.text += text;
        isShown = true;
      },
      onRestart: () => {
        run.text = "";
        run.restarts++;
        run.restartedLate ||= isShown;
      },
      signal: new AbortController().signal,
    },
    deps,
  );
  run.ways = reply.continued?.ways ?? [];
  return run;
}

/** One attempt: what the model's reply comes to. */
async function send(
  reply: ReturnType<typeof replyTo>,
  { onText, signal, split }: Pick<Receive, "onText" | "signal"> & Pick<ContinuingSetup, "split">,
): Promise<ModelReply> {
  if ("status" in reply) {
    throw new AttemptFailure("model_rejected", "refused", {
      detail: "no prefill",
      status: reply.status,
      retryable: false,
    });
  }
  await Promise.resolve();
  for (const piece of split(reply.text)) {
    signal.throwIfAborted();
    onText(piece);
  }
  signal.throwIfAborted();
  return { finishReason: reply.finishReason, model: "test/model" };
}

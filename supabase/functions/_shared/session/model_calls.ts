/** The model calls of one session: started, aborted, and reported to the live activity. */

import type { ActivityReporter, ReportedTurn } from "../activity/reporter.ts";
import { toAgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest } from "../ports/model.ts";
import type { WorkerLifetime } from "../ports/runtime.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { ModelOutcome, SessionEvent } from "./core/event.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import { expectedTokens } from "./model_request.ts";

export interface ModelCallsDeps {
  model: LanguageModel;
  lifetime: WorkerLifetime;
  activity: ActivityReporter;
}

/** Gets the text, the reasoning and the end of every call. */
export interface CallSink {
  take(event: Extract<SessionEvent, { kind: "text" | "reasoning" | "restarted" | "model_ended" }>): void;
}

/** A call that was not aborted. The text is read from its turn when someone watches, and not kept here. */
export interface CallOptions {
  number: number;
  request: ModelRequest;
  turn: ReportedTurn;
}

export class ModelCalls {
  readonly #deps: ModelCallsDeps;
  readonly #record: SessionRecord;
  readonly #sink: CallSink;
  #open: LazyMap<number, AbortController> = emptyMap();

  constructor(deps: ModelCallsDeps, record: SessionRecord, sink: CallSink) {
    this.#deps = deps;
    this.#record = record;
    this.#sink = sink;
  }

  get size(): number {
    return this.#open.size;
  }

  ask({ number, request, turn }: CallOptions): void {
    const { model, lifetime, activity } = this.#deps;
    const maxTokens = expectedTokens(request);
    const controller = new AbortController();
    this.#open = withEntry(this.#open, number, controller);
    activity.memory(this.#record, { operation: "recall", sector: "history" }, {
      success: true,
      durationMs: 0,
    });
    activity.reasoning(this.#record, turn, "thinking");
    // Async, so that a model that throws at once is handled like one that rejects.
    const reply = async (): Promise<ModelReply> =>
      await model.reply(request, {
        signal: controller.signal,
        onText: (text) => {
          // The model may not have noticed the abort yet.
          if (controller.signal.aborted) return;
          this.#sink.take({ kind: "text", call: number, text });
          activity.streaming(this.#record, turn, maxTokens);
        },
        onReasoning: (text) => {
          if (!controller.signal.aborted) this.#sink.take({ kind: "reasoning", call: number, text });
        },
        onRestart: () => {
          if (!controller.signal.aborted) this.#sink.take({ kind: "restarted", call: number });
        },
      });
    lifetime.hold(
      reply().then(succeeded, failed).then((outcome) => {
        if (!this.#open.has(number)) return;
        this.#open = withoutEntry(this.#open, number);
        this.#sink.take({ kind: "model_ended", call: number, outcome });
      }),
    );
  }

  abort(number: number): void {
    const controller = this.#open.get(number);
    this.#open = withoutEntry(this.#open, number);
    controller?.abort();
  }
}

function succeeded({ finishReason, model, usage, continued, trimmed }: ModelReply): ModelOutcome {
  const optional = {
    ...(usage && { usage }),
    ...(continued && { continued }),
    ...(trimmed !== undefined && { trimmed }),
  };
  return { ok: true, reply: { finishReason, model, ...optional } };
}

function failed(thrown: unknown): ModelOutcome {
  const { code, message, retryable, retryAfterMs } = toAgentError(thrown);
  return {
    ok: false,
    code,
    content: message,
    retryable,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** The model calls of one session: started, aborted, and reported to the live activity. */

import type { ActivityReporter, ReportedTurn } from "../activity/reporter.ts";
import { toAgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest } from "../ports/model.ts";
import type { WorkerLifetime } from "../ports/runtime.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { Usage } from "../protocol/log_event.ts";
import type { AttemptAccounts } from "../usage/attempt_accounts.ts";
import type { CallMeter, CallOutcome } from "../usage/call_meter.ts";
import type { ModelOutcome, SessionEvent } from "./core/event.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import type { ModelStep, Question } from "./core/turn.ts";
import { addUsage } from "./end_usage.ts";
import { meteredCallOf } from "./quota_keys.ts";

export interface ModelCallsDeps {
  model: LanguageModel;
  lifetime: WorkerLifetime;
  activity: ActivityReporter;
  accounts: Pick<AttemptAccounts, "meter" | "tookOver">;
}

/** Gets the text, the reasoning and the end of every call. */
export interface CallSink {
  take(event: Extract<SessionEvent, { kind: "text" | "reasoning" | "restarted" | "model_ended" }>): void;
}

/** A call that was not aborted. The text is read from its turn when someone watches, and not kept here. */
export interface CallOptions {
  number: number;
  request: ModelRequest | Promise<ModelRequest>;
  /** What an estimate of the answer's memory goes by. */
  maxTokens: number;
  /** What the calls of the reply are; undefined if it has none. */
  plan?: ((reply: ModelReply) => Promise<ModelStep | undefined>) | undefined;
  turn: ReportedTurn & { query: Question };
}

export class ModelCalls {
  readonly #deps: ModelCallsDeps;
  readonly #record: SessionRecord;
  readonly #sink: CallSink;
  #open: LazyMap<number, AbortController> = emptyMap();
  /** Of each turn's last call, until the turn's end is in the log. */
  #meters: LazyMap<string, CallMeter> = emptyMap();
  /** What the steps before a turn's last call have used. */
  #spent: LazyMap<string, Usage> = emptyMap();

  constructor(deps: ModelCallsDeps, record: SessionRecord, sink: CallSink) {
    this.#deps = deps;
    this.#record = record;
    this.#sink = sink;
  }

  get size(): number {
    return this.#open.size;
  }

  ask({ number, request, maxTokens, plan, turn }: CallOptions): void {
    const { model, lifetime, activity, accounts } = this.#deps;
    const controller = new AbortController();
    const meter = accounts.meter(meteredCallOf(turn.query, this.#record));
    this.#open = withEntry(this.#open, number, controller);
    this.#meters = withEntry(this.#meters, turn.query.turnId, meter);
    activity.memory(this.#record, { operation: "recall", sector: "history" }, {
      success: true,
      durationMs: 0,
    });
    activity.reasoning(this.#record, turn, "thinking");
    // Async, so that a model that throws at once is handled like one that rejects.
    const reply = async (): Promise<ModelOutcome> => {
      const asked = request instanceof Promise ? await request : request;
      controller.signal.throwIfAborted();
      const replied = await model.reply(asked, {
        signal: controller.signal,
        meter,
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
      return succeeded(replied, this.#spent.get(turn.query.turnId), await plan?.(replied));
    };
    lifetime.hold(
      reply().catch(failed).then((outcome) => {
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

  /** A turn's call has ended, or was aborted, for this reason. */
  ended(turnId: string, outcome: CallOutcome): void {
    this.#meters.get(turnId)?.ended(outcome);
  }

  /** A step of a turn is done, and its next call follows: what it has used counts for the turn. */
  stepped(turnId: string): void {
    this.ended(turnId, "completed");
    const usage = this.usageOf(turnId);
    this.#meters = withoutEntry(this.#meters, turnId);
    if (usage !== undefined) this.#spent = withEntry(this.#spent, turnId, usage);
  }

  /** What the requests that this worker has made for a turn have used so far. */
  usageOf(turnId: string): Usage | undefined {
    const [before, usage] = [this.#spent.get(turnId), this.#meters.get(turnId)?.usage];
    return before === undefined || usage === undefined ? usage ?? before : addUsage(before, usage);
  }

  /** The turn's end is in the log, or another worker writes it. */
  forget(turnId: string): void {
    this.#meters = withoutEntry(this.#meters, turnId);
    this.#spent = withoutEntry(this.#spent, turnId);
  }
}

function succeeded(
  { finishReason, model, usage, continued, trimmed }: ModelReply,
  before: Usage | undefined,
  step: ModelStep | undefined,
): ModelOutcome {
  if (step !== undefined) return { ok: true, reply: { finishReason, model }, step };
  const total = before === undefined || usage === undefined ? usage ?? before : addUsage(before, usage);
  const optional = {
    ...(total && { usage: total }),
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

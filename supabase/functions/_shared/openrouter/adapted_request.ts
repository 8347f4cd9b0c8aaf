/**
 * Changes a request that a provider refuses until it takes it: parameters are repaired, a prompt that is too long is shortened.
 * These are not retries: nothing is waited for, and each change is made at most once.
 */

import type { ModelDialect } from "../model_dialect.ts";
import type { ModelMessage, ModelReply, ModelRequest } from "../ports/model.ts";
import type { Log } from "../ports/runtime.ts";
import { AttemptFailure } from "./attempt_failure.ts";
import type { PromptMessage } from "./continuation/ways.ts";
import { mask } from "./mask.ts";
import { ParameterRepairs, type Repair, repairOf, type Repairs } from "./parameter_repairs.ts";
import { formAfter, formFor, type PromptForm } from "./prompt_form.ts";
import { hasHistory, keepHalf, keepQuestion, PromptFit } from "./prompt_fit.ts";
import { type PromptLimit, readPromptLimit } from "./prompt_limit.ts";
import { refusedParameters } from "./refused_parameter.ts";
import { toolFailure } from "./refused_tools.ts";
import { remember } from "./remember.ts";
import { BOUNDS, type RequestFields, requestFields } from "./request.ts";

/** Reduces the share of a prompt that fits, because tokens are not spread evenly over its characters. */
const SHARE_MARGIN = 0.9;
/** Models whose forms of prompts are remembered. */
const MAX_MODELS = 200;
/** Most changes of the form for one request: a server that refuses each one must not be asked for ever. */
const MAX_FORMS = 3;
const LEFT_OUT: Repair = { newName: undefined, onlyValue: undefined };

export interface AdapterOptions {
  baseUrl: string;
  dialect: ModelDialect;
  /** 0 for no limit. */
  maxPromptTokens: number;
  apiKey: string | undefined;
  log: Log;
}

/** One attempt at a reply: sends `fields`, which say what `request` says. */
export type Attempt = (request: ModelRequest, fields: RequestFields) => Promise<ModelReply>;

export interface AdaptOptions {
  /** Messages behind the question. */
  tail?: readonly PromptMessage[];
  /** Whether the bound of the answer is never left out: a budget has granted no more. */
  keepsBound?: boolean;
}

/** What is known of the models of one endpoint. */
export class RequestAdapter {
  readonly options: AdapterOptions;
  readonly repairs = new ParameterRepairs();
  readonly fit: PromptFit;
  readonly #form: PromptForm;
  readonly #forms = new Map<string, PromptForm>();

  constructor(options: AdapterOptions) {
    this.options = options;
    this.#form = formFor(options.baseUrl);
    this.fit = new PromptFit(options.maxPromptTokens);
  }

  /** How prompts for the model are written. */
  formOf(model: string): PromptForm {
    return this.#forms.get(model) ?? this.#form;
  }

  learnForm(model: string, form: PromptForm): void {
    remember(this.#forms, model, form, MAX_MODELS);
  }

  /** Only OpenRouter takes several models; for any other endpoint there is a request for each. */
  adapt(request: ModelRequest, { tail = [], keepsBound = false }: AdaptOptions = {}): AdaptedRequest[] {
    const isOneRequest = this.options.dialect === "openrouter" || request.models.length <= 1;
    const requests = isOneRequest
      ? [request]
      : request.models.map((model) => ({ ...request, models: [model] }));
    return requests.map((each) => new AdaptedRequest(each, { tail, keepsBound }, this));
  }
}

/** A request with the changes that were made to it. It may be asked again after a failure that may pass. */
export class AdaptedRequest {
  readonly model: string;
  readonly #whole: ModelRequest;
  readonly #tail: readonly PromptMessage[];
  readonly #keepsBound: boolean;
  readonly #adapter: RequestAdapter;
  readonly #repairs: Repairs = new Map();
  #messages: readonly ModelMessage[];
  #isCut = false;
  #rewritten = 0;

  constructor(request: ModelRequest, { tail, keepsBound }: Required<AdaptOptions>, adapter: RequestAdapter) {
    this.model = request.models[0] ?? "";
    this.#whole = request;
    this.#tail = tail;
    this.#keepsBound = keepsBound;
    this.#adapter = adapter;
    this.#messages = adapter.fit.fit(request);
  }

  /** Rejects as `attempt` does, and with `prompt_too_long`. `hasBegun`: text was passed on, so nothing may be asked again. */
  async ask(attempt: Attempt, hasBegun: () => boolean): Promise<ModelReply> {
    const { repairs, fit, options } = this.#adapter;
    for (;;) {
      const request = { ...this.#whole, messages: this.#messages };
      const form = this.#adapter.formOf(this.model);
      const whole = requestFields(request, options.dialect, { tail: this.#tail, form });
      const fields = repairs.apply(whole, { model: this.model, own: this.#repairs });
      try {
        const reply = await attempt(request, fields);
        if (reply.usage !== undefined) fit.learn(request, reply.usage.prompt_tokens);
        const trimmed = this.#whole.messages.length - this.#messages.length;
        return trimmed > 0 ? { ...reply, trimmed } : reply;
      } catch (thrown) {
        if (!(thrown instanceof AttemptFailure)) throw thrown;
        thrown.model = this.model;
        if (hasBegun()) throw thrown;
        const limit = readPromptLimit(thrown);
        if (limit !== undefined) this.#shorten(limit, thrown, fields);
        else if (!this.#repair(thrown, fields) && !this.#rewrite(thrown, form)) throw this.#named(thrown);
      }
    }
  }

  /** Throws a `prompt_too_long` if nothing is left to try. */
  #shorten(limit: PromptLimit, failure: AttemptFailure, fields: RequestFields): void {
    const request = { ...this.#whole, messages: this.#messages };
    const canCut = hasHistory(request);
    const bound = this.#keepsBound ? undefined : BOUNDS.find((name) => name in fields);
    if (bound !== undefined && limit.countsAnswer && (limit.isAnswerTooLong || !canCut)) {
      // Not remembered: beside another prompt the same bound may fit.
      this.#repairs.set(bound, LEFT_OUT);
      return this.#writeRepair(bound, LEFT_OUT, failure);
    }
    if (!canCut) throw tooLong(failure);
    const share = limit.share === undefined ? undefined : SHARE_MARGIN * limit.share;
    this.#messages = this.#isCut ? keepQuestion(request) : keepHalf(request, share);
    this.#isCut = true;
    const messages = request.messages.length - this.#messages.length;
    this.#write("model_prompt_trimmed", { messages }, failure);
  }

  /** Returns whether the request has changed. */
  #repair(failure: AttemptFailure, fields: RequestFields): boolean {
    const repairs = refusedParameters(failure, fields).map((parameter) => ({
      parameter,
      repair: repairOf(parameter, fields),
    }));
    const made = repairs.filter(({ parameter: { field }, repair: { newName } }) =>
      !this.#keepsBound || newName !== undefined || !BOUNDS.includes(field)
    );
    for (const { parameter, repair } of made) {
      this.#repairs.set(parameter.field, repair);
      const isNew = this.#adapter.repairs.learn(this.model, parameter.field, repair);
      if (isNew) this.#writeRepair(parameter.field, repair, failure);
    }
    return made.length > 0;
  }

  /** Returns whether the form of the prompt has changed. */
  #rewrite(failure: AttemptFailure, form: PromptForm): boolean {
    if (!this.#messages.some(({ calls }) => calls !== undefined)) return false;
    const changed = formAfter(failure, form);
    if (changed === undefined || this.#rewritten === MAX_FORMS) return false;
    this.#rewritten++;
    this.#adapter.learnForm(this.model, changed);
    const names = Object.keys(changed) as (keyof PromptForm)[];
    const field = names.filter((name) => changed[name] !== form[name]).join();
    this.#write("model_prompt_rewritten", { field }, failure);
    return true;
  }

  /** The failure, in the words of its cause if that is the tools. */
  #named(failure: AttemptFailure): AttemptFailure {
    if (this.#whole.tools === undefined || this.#whole.tools.length === 0) return failure;
    const named = toolFailure(failure);
    named.model = this.model;
    return named;
  }

  #writeRepair(field: string, { newName }: Repair, failure: AttemptFailure): void {
    const how = newName === undefined ? "left_out" : `renamed_to_${newName}`;
    this.#write("model_parameter_dropped", { field, how }, failure);
  }

  #write(event: string, fields: Readonly<Record<string, string | number>>, failure: AttemptFailure): void {
    const { log, apiKey } = this.#adapter.options;
    const { status } = failure;
    log.write({
      level: "warn",
      event,
      model: this.model,
      ...fields,
      ...(status !== undefined && { status }),
      detail: mask(failure.detail, apiKey),
    });
  }
}

function tooLong({ detail, status, model }: AttemptFailure): AttemptFailure {
  const message = "the question is too long for the model";
  const failure = new AttemptFailure("prompt_too_long", message, { detail, status, retryable: false });
  failure.model = model;
  return failure;
}

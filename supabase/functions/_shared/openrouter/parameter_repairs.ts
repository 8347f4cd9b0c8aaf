/** Repairs requests whose parameters a model refuses, and remembers the repairs. */

import type { RefusedParameter } from "./refused_parameter.ts";
import { remember } from "./remember.ts";
import { MAX_TOKENS_REPLACEMENT, type RequestFields } from "./request.ts";

/** Models whose repairs are remembered. */
const MAX_MODELS = 200;

/** What is done with a parameter: left out, or sent under another name. */
export interface Repair {
  newName: string | undefined;
  /** The only value that is repaired, as JSON; undefined: every value. */
  onlyValue: string | undefined;
}

/** Repairs by parameter. */
export type Repairs = Map<string, Repair>;

export class ParameterRepairs {
  readonly #models = new Map<string, Repairs>();

  /** The fields after what is remembered of the model, and after the request's own repairs. */
  apply(fields: RequestFields, { model, own }: { model: string; own: Repairs }): RequestFields {
    const repaired: Record<string, unknown> = { ...fields };
    for (const repairs of [this.#models.get(model), own]) {
      for (const [name, { newName, onlyValue }] of repairs ?? []) {
        const value = repaired[name];
        if (value === undefined || (onlyValue !== undefined && onlyValue !== JSON.stringify(value))) continue;
        delete repaired[name];
        if (newName !== undefined) repaired[newName] = value;
      }
    }
    return repaired;
  }

  /** Remembers a repair for later requests to the model. Returns whether the parameter is new. */
  learn(model: string, name: string, repair: Repair): boolean {
    const repairs = this.#models.get(model) ?? new Map();
    const isNew = !repairs.has(name);
    repairs.set(name, repair);
    remember(this.#models, model, repairs, MAX_MODELS);
    return isNew;
  }
}

/** The repair of a refused parameter of a request with these fields. */
export function repairOf({ field, isValueOnly }: RefusedParameter, sent: RequestFields): Repair {
  const isRenamed = field === "max_tokens" && !isValueOnly && !(MAX_TOKENS_REPLACEMENT in sent);
  return {
    newName: isRenamed ? MAX_TOKENS_REPLACEMENT : undefined,
    onlyValue: isValueOnly ? JSON.stringify(sent[field]) : undefined,
  };
}

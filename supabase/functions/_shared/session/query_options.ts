/** What a client may choose about the model, within what the operator allows. */

import { AgentError } from "../errors.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";

export interface OptionLimits {
  allowedModels: readonly string[];
  /** `MAX_TOKENS`: the default and the most that may be asked for. */
  maxTokens: number;
}

/** Throws `option_not_allowed`, naming what is allowed. */
export function checkOptions(options: QueryOptions, { allowedModels, maxTokens }: OptionLimits): void {
  if (options.model !== undefined && !allowedModels.includes(options.model)) {
    throw notAllowed(`"model" must be one of ${allowedModels.join(", ")}`);
  }
  if (options.max_tokens !== undefined && options.max_tokens > maxTokens) {
    throw notAllowed(`"max_tokens" must be at most ${maxTokens}`);
  }
}

function notAllowed(what: string): AgentError {
  return new AgentError("option_not_allowed", `Cannot use options: ${what}`);
}

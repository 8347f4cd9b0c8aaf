/** One request to the provider of a model, as the side that sends it accounts for it. */

import type { Usage } from "../protocol/log_event.ts";

/** What a request is about to ask. */
export interface AttemptRequest {
  /** All messages that are sent, those that ask to continue an answer too. */
  messages: readonly { content: string; calls?: readonly { name: string; arguments: string }[] }[];
  /** The tools that are offered. */
  tools?: readonly unknown[] | undefined;
  models: readonly string[];
  maxTokens?: number | undefined;
}

/** How a request ended. */
export interface AttemptEnd {
  /**
   * `unsent`: it never reached the provider. `refused`: the provider did not work on it (4xx). `aborted`: our side gave it up.
   * `failed`: anything else that is no whole answer.
   */
  how: "completed" | "failed" | "aborted" | "refused" | "unsent";
  /** The model that answered, if the provider said so. */
  model?: string;
  generationId?: string;
  /** As the provider reported it. Without it, tokens are estimated. */
  usage?: Usage;
}

/** A request that may be sent. Exactly one `end` closes it. */
export interface Attempt {
  /** The most tokens that its answer may have: what was asked for, or what is left of the day's budget. Undefined: no limit. */
  readonly maxTokens: number | undefined;
  /** The provider has begun to answer. */
  reached(generationId: string | undefined): void;
  /** A piece of the answer came: text, or a part of a tool call. */
  said(text: string): void;
  /** A piece of the model's reasoning came, whether or not it is shown to anyone. */
  thought(text: string): void;
  end(end: AttemptEnd): void;
}

/** Accounts for the requests of one reply. */
export interface AttemptMeter {
  /** The most tokens of an answer for which the operator has set no limit. Undefined if there is no budget. */
  readonly unboundTokens: number | undefined;
  /**
   * To be called before each request. Answers at once where there is no budget. Rejects with `budget_exceeded`, or with
   * `store_unavailable` where the budget cannot be known: nothing may be sent then.
   */
  begin(request: AttemptRequest): Attempt | Promise<Attempt>;
}

/** The language model. */

import type { Continued, Usage } from "../protocol/log_event.ts";
import type { ReasoningEffort } from "../protocol/reasoning_effort.ts";
import type { AttemptMeter } from "./attempt.ts";

/** A tool as the model sees it. */
export interface ToolSpec {
  /** `[a-zA-Z0-9_-]{1,64}`. */
  name: string;
  description: string;
  /** JSON Schema of the input: an object. */
  parameters: Readonly<Record<string, unknown>>;
}

/** A tool call as the model has written it. */
export interface ModelToolCall {
  /** Unique in the prompt: an assistant's message and the tool's message that answers it have the same. */
  id: string;
  name: string;
  /** Usually JSON, but whatever the model has written; `{}` for no input. */
  arguments: string;
}

/** One message of a chat completion. */
export interface ModelMessage {
  role: "system" | "user" | "assistant" | "tool";
  /** Of an assistant that only calls tools it may be empty. */
  content: string;
  /** Of an assistant: the tools it has called. Each is answered by a message of role `tool` directly behind. */
  calls?: readonly ModelToolCall[];
  /** Of a tool: the call that it answers. */
  callId?: string;
  /** Of an assistant with calls: the `reasoningDetails` of that reply, handed back unchanged. */
  reasoningDetails?: readonly unknown[];
}

/** A request to the model. */
export interface ModelRequest {
  /** The system prompt, the history and the question, which comes last. */
  messages: readonly ModelMessage[];
  /**
   * The beginning of the answer, from an earlier call whose worker has gone; empty for a new answer. It may end
   * anywhere, in white space too. The reply's text follows it, unless the reply calls `onRestart`.
   */
  partial: string;
  /** The tools that it may call. Left out if there is none. */
  tools?: readonly ToolSpec[] | undefined;
  /** The wanted model first, then the ones to fall back to. Never empty. */
  models: readonly string[];
  /** Not sent if it is undefined, like the fields below: then the provider's default applies. */
  temperature?: number | undefined;
  maxTokens?: number | undefined;
  reasoningEffort?: ReasoningEffort | undefined;
}

/** How a reply ended. Its text has been handed to `onText` by then. */
export interface ModelReply {
  /** `stop`, `length`, `content_filter`, `tool_calls` (never `stop` with calls), or whatever else the provider says. */
  finishReason: string;
  /** The model that answered: not the first one asked for, after a fallback. */
  model: string;
  usage?: Usage;
  /** How many messages were left out, oldest first, because the prompt was too long. Left out if none was. */
  trimmed?: number;
  /** The provider's id of this reply, such as OpenRouter's `gen-…`, if it has one. */
  generationId?: string;
  /** Set if the request had a `partial`. */
  continued?: Continued;
  /** The tools that the model calls, in its order; left out if it calls none. Text may come before them. */
  calls?: readonly ModelToolCall[];
  /**
   * What the provider wants back with the calls, opaque to all but the model client: OpenRouter's `reasoning_details`, and details of
   * the client's own. Only where there are calls. A place in its lists is that of a call in `calls`.
   */
  reasoningDetails?: readonly unknown[];
}

/** Receives a reply, and aborts it. */
export interface ReplyOptions {
  /** Called with each piece of text as it arrives, several tokens at once where the provider sends them so. */
  onText(text: string): void;
  /** Called with what the model thinks, as it arrives. After a failure before the first text, it may think again. */
  onReasoning?(text: string): void;
  /** The reply is a new answer: `partial` and all text before are void. Called before the first text of the new answer. */
  onRestart?(): void;
  signal: AbortSignal;
  /** Accounts for each request that the reply takes. */
  meter?: AttemptMeter;
}

/** A language model. */
export interface LanguageModel {
  /**
   * Streams one reply. It has text or calls tools, unless it goes on with `partial`. Rejects with an {@linkcode AgentError} with a
   * `model_…` code, or with the signal's reason once it is aborted; the upstream request is given up at once then. Calls of a reply
   * that rejects are lost.
   */
  reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply>;
}

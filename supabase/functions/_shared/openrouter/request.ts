/** One chat completion request, in the dialect of its endpoint. */

import { type DialectSetting, MAX_OPENROUTER_MODELS, type ModelDialect } from "../model_dialect.ts";
import type { ModelRequest, ToolSpec } from "../ports/model.ts";
import type { PromptMessage } from "./continuation/ways.ts";
import { PLAIN_FORM, type PromptForm, toolsIn, writeMessages } from "./prompt_form.ts";

export interface Endpoint {
  /** The API's base with its path, such as `https://openrouter.ai/api/v1`; a slash at its end does no harm. */
  baseUrl: string;
  /** What it understands. Default: `auto`. */
  dialect?: DialectSetting | undefined;
  /** Sent as a Bearer token, to Azure as `api-key`; a server of one's own may need none. */
  apiKey?: string | undefined;
  /** The site that asks, for OpenRouter's rankings: the `HTTP-Referer` header. */
  referer?: string | undefined;
  /** Its name: the `X-Title` header. */
  title?: string | undefined;
}

/** OpenAI's name for `max_tokens` since its reasoning models, which refuse the older one. */
export const MAX_TOKENS_REPLACEMENT = "max_completion_tokens";
/** The names of the bound of an answer. A request has one of them at most. */
export const BOUNDS: readonly string[] = ["max_tokens", MAX_TOKENS_REPLACEMENT];

/** The body of a request, before it is encoded. */
export type RequestFields = Readonly<Record<string, unknown>>;

export function completionsUrl({ baseUrl }: Endpoint): string {
  const url = new URL(baseUrl);
  // Onto the path, so that a query of the base (`?api-version=…`) stays one.
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
  return url.href;
}

export function requestHeaders({ apiKey, referer, title }: Endpoint, dialect: ModelDialect): Headers {
  const headers = new Headers({ "accept": "text/event-stream", "content-type": "application/json" });
  // Azure reads a key from a header of its own; a JWT of Entra ID is a Bearer token there too.
  const isAzureKey = dialect === "azure" && !apiKey?.startsWith("eyJ");
  if (apiKey !== undefined && isAzureKey) headers.set("api-key", apiKey);
  else if (apiKey !== undefined) headers.set("authorization", `Bearer ${apiKey}`);
  if (dialect !== "openrouter") return headers;
  if (referer !== undefined) headers.set("http-referer", referer);
  if (title !== undefined) headers.set("x-title", title);
  return headers;
}

/** What a request depends on besides its content. */
export interface RequestOptions {
  /** Messages behind the question. Default none. */
  tail?: readonly PromptMessage[];
  /** Default: that of an endpoint without special requirements. */
  form?: PromptForm;
}

/** The whole request; what is undefined in it is left out. Only OpenRouter gets more than the first of the models, at most three. */
export function requestFields(
  request: ModelRequest,
  dialect: ModelDialect,
  { tail = [], form = PLAIN_FORM }: RequestOptions = {},
): RequestFields {
  const { messages, models, temperature, maxTokens, reasoningEffort: effort } = request;
  const isOpenRouter = dialect === "openrouter";
  const tools = toolsIn(request, form);
  return {
    model: models[0],
    // Tried in this order.
    ...(isOpenRouter && models.length > 1 && { models: models.slice(0, MAX_OPENROUTER_MODELS) }),
    messages: writeMessages([...messages, ...tail], { dialect, form }),
    ...(tools.length > 0 && { tools: tools.map(writeTool) }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(effort !== undefined && (isOpenRouter ? { reasoning: { effort } } : { reasoning_effort: effort })),
    stream: true,
    // Tokens with the last chunk, and from OpenRouter the cost too. OpenRouter always sends them by now
    // (https://openrouter.ai/docs/use-cases/usage-accounting).
    stream_options: { include_usage: true },
    ...(isOpenRouter && { usage: { include: true } }),
  };
}

function writeTool({ name, description, parameters }: ToolSpec): object {
  return { type: "function", function: { name, description, parameters } };
}

/** The request with another bound for its answer, if it has one. */
export function withBound(fields: RequestFields, maxTokens: number | undefined): RequestFields {
  const name = BOUNDS.find((name) => name in fields);
  return name === undefined ? fields : { ...fields, [name]: maxTokens };
}

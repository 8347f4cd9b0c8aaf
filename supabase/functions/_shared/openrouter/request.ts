/** One chat completion request, as OpenRouter and whatever is compatible with it understand it. */

import type { ModelRequest } from "../ports/model.ts";

export interface Endpoint {
  /** The API's base with its path, such as `https://openrouter.ai/api/v1`; a slash at its end does no harm. */
  baseUrl: string;
  /** Sent as a Bearer token; a server of one's own may need none. */
  apiKey?: string | undefined;
  /** The site that asks, for OpenRouter's rankings: the `HTTP-Referer` header. */
  referer?: string | undefined;
  /** Its name: the `X-Title` header. */
  title?: string | undefined;
}

export type Asked = Omit<ModelRequest, "partial">;

export function completionsUrl({ baseUrl }: Endpoint): string {
  const url = new URL(baseUrl);
  // Onto the path, so that a query of the base (`?api-version=…`) stays one.
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
  return url.href;
}

export function requestHeaders({ apiKey, referer, title }: Endpoint): Headers {
  const headers = new Headers({ "accept": "text/event-stream", "content-type": "application/json" });
  if (apiKey !== undefined) headers.set("authorization", `Bearer ${apiKey}`);
  if (referer !== undefined) headers.set("http-referer", referer);
  if (title !== undefined) headers.set("x-title", title);
  return headers;
}

/** `messages` are sent as they are, with the beginning of an answer among them. */
export function requestBody({ messages, models, temperature, maxTokens }: Asked): string {
  return JSON.stringify({
    model: models[0],
    // OpenRouter tries these in order; a server that knows no fallbacks should not see the field.
    ...(models.length > 1 && { models }),
    messages,
    temperature,
    max_tokens: maxTokens,
    stream: true,
    // Tokens and cost with the last chunk. OpenRouter ignores both by now, and always sends them
    // (https://openrouter.ai/docs/use-cases/usage-accounting); others ask for the second.
    usage: { include: true },
    stream_options: { include_usage: true },
  });
}

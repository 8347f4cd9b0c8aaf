/** How many tokens a text has, where no provider has counted them: one for every four bytes of UTF-8. */

import type { AttemptRequest } from "../ports/attempt.ts";

const BYTES_PER_TOKEN = 4;

/** The bytes of a text in UTF-8. Of a surrogate each half counts two, so a text may be counted in pieces. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
}

export function tokensOf(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/** The tokens of a request's prompt: messages, tool calls in them, and the tools that are offered. */
export function promptTokens({ messages, tools = [] }: Pick<AttemptRequest, "messages" | "tools">): number {
  let bytes = tools.length === 0 ? 0 : utf8Bytes(JSON.stringify(tools));
  for (const { content, calls = [] } of messages) {
    bytes += utf8Bytes(content);
    for (const call of calls) bytes += utf8Bytes(call.name) + utf8Bytes(call.arguments);
  }
  return tokensOf(bytes);
}

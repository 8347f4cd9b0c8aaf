/** From a `send` of the AI SDK to a query: only the last user message counts, because the log is the conversation. */

import { AgentError } from "../errors.ts";
import { decode, type Decoded } from "../protocol/decode.ts";
import { sizeOf, tooLarge } from "../session/frame_size.ts";
import { isRecord, type SendRequest } from "./requests.ts";

/** A query of ours as a client would send it. It is decoded like any other: the fields of `body` are not checked yet. */
export interface QueryFields {
  type: "query";
  id: string;
  content: string;
  replaces?: string;
  priority?: unknown;
  policy?: unknown;
  options?: unknown;
}

export interface Question {
  query: QueryFields;
  /** What to ask if the log does not have the query that is replaced. */
  otherwise: QueryFields | undefined;
}

/** The longest id of a query. */
const MAX_ID_CHARS = 128;

/**
 * A new message is a query with the message's id: the same message again is the same query. An edit and a regenerated answer are queries
 * with ids of their own, which replace the query of the message. Throws `invalid_frame` and `content_required`.
 */
export function questionOf({ requestId, trigger, messageId, messages, body }: SendRequest): Question {
  const message = lastUserMessage(messages);
  const { priority, policy, options } = body;
  const asked = {
    type: "query" as const,
    content: textOf(message),
    ...(priority !== undefined && { priority }),
    ...(policy !== undefined && { policy }),
    ...(options !== undefined && { options }),
  };
  const id = isQueryId(message.id) ? message.id : undefined;
  const plain = { ...asked, id: id ?? requestId };
  const isEdit = messageId !== undefined && messageId === id;
  if (id === undefined || (trigger === "submit-message" && !isEdit)) {
    return { query: plain, otherwise: undefined };
  }
  return { query: { ...asked, id: successorOf(id, requestId), replaces: id }, otherwise: plain };
}

/** Checks a query as if a client had sent it: the bounds of a question are the same. */
export function decodeQuery(query: QueryFields, maxBytes: number): Decoded {
  const text = JSON.stringify(query);
  return sizeOf(text, maxBytes) > maxBytes ? tooLarge(maxBytes) : decode(text);
}

/** The id of a query that takes the place of another: unlike any other, and short enough. */
function successorOf(id: string, requestId: string): string {
  const [first = ""] = id.split("~");
  const successor = `${first}~${requestId}`;
  return successor.length <= MAX_ID_CHARS ? successor : requestId;
}

function lastUserMessage(messages: readonly unknown[]): Record<string, unknown> {
  const message = messages.findLast((message) => isRecord(message) && message.role === "user");
  if (!isRecord(message)) {
    throw new AgentError("content_required", 'Cannot take message: "messages" must have one of the user');
  }
  return message;
}

function textOf({ parts }: Record<string, unknown>): string {
  if (!Array.isArray(parts)) {
    throw new AgentError("invalid_frame", 'Cannot take message: "parts" must be a list');
  }
  const texts = parts.map((part: unknown) => {
    if (!isRecord(part)) {
      throw new AgentError("invalid_frame", "Cannot take message: a part must be an object");
    }
    if (part.type === "file") {
      throw new AgentError("invalid_frame", "Cannot take files: the agent takes text");
    }
    return part.type === "text" && typeof part.text === "string" ? part.text : "";
  });
  return texts.join("");
}

function isQueryId(id: unknown): id is string {
  return typeof id === "string" && id !== "" && id.length <= MAX_ID_CHARS && id.isWellFormed();
}

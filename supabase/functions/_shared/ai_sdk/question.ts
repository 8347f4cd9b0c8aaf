/** From a `send` of the AI SDK to a query: only the last user message counts, because the log is the conversation. */

import { AgentError } from "../errors.ts";
import type { QueryFrame } from "../protocol/client_frames.ts";
import { decode } from "../protocol/decode.ts";
import { sizeOf, tooLarge } from "../session/frame_size.ts";
import { isRecord, type SendRequest } from "./requests.ts";

/** What a request asks. */
export interface Question {
  query: QueryFrame & { id: string };
  /** What to ask if the log does not have the query that is replaced. */
  otherwise?: QueryFrame & { id: string };
}

/** The longest id of a query. */
const MAX_ID_CHARS = 128;

/**
 * A new message is a query with the message's id: the same message again is the same query. An edit and a regenerated answer are queries
 * with ids of their own, which replace the query of the message. Its text has at most `maxBytes`. Throws an {@linkcode AgentError}.
 */
export function questionOf(request: SendRequest, maxBytes: number): Question {
  const { requestId, trigger, messageId, messages, body } = request;
  const message = lastUserMessage(messages);
  const content = textOf(message);
  const { priority, policy, options } = body;
  const asked = { type: "query", content, priority, policy, options };
  const id = isQueryId(message.id) ? message.id : undefined;
  const plain = decodeQuery({ ...asked, id: id ?? requestId }, maxBytes);
  const isEdit = messageId !== undefined && messageId === id;
  if (id === undefined || (trigger === "submit-message" && !isEdit)) return { query: plain };
  return { query: { ...plain, id: successorOf(id, requestId), replaces: id }, otherwise: plain };
}

/** Checks a query as if a client had sent it. */
function decodeQuery(query: Record<string, unknown> & { id: string }, maxBytes: number): Question["query"] {
  const text = JSON.stringify(query);
  const decoded = sizeOf(text, maxBytes) > maxBytes ? tooLarge(maxBytes) : decode(text);
  if ("problem" in decoded) throw new AgentError(decoded.problem.code, decoded.problem.message);
  if (decoded.frame.type !== "query") throw new TypeError("Cannot decode query: it is none");
  return { ...decoded.frame, id: query.id };
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

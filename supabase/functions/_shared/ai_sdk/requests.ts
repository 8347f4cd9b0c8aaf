/**
 * The frames that the AI SDK's `WebSocketChatTransport` sends (ai 7.0.173, `src/ui/websocket-chat-transport.ts`), checked by hand: the
 * SDK's own check loads the whole package.
 */

/** A question. `messages` are the page's, and not checked yet. */
export interface SendRequest {
  type: "send";
  requestId: string;
  chatId: string;
  trigger: "submit-message" | "regenerate-message";
  /** Of a `submit-message`: the message that was edited, if one was. */
  messageId: string | undefined;
  messages: readonly unknown[];
  body: Readonly<Record<string, unknown>>;
}

/** The page asks for the answer that is being written. */
export interface ResumeRequest {
  type: "resume";
  requestId: string;
  chatId: string;
}

/** The page no longer listens to a request. */
export interface AbortRequest {
  type: "abort";
  requestId: string;
}

export type AiSdkRequest = SendRequest | ResumeRequest | AbortRequest;

/** The longest request id, and the longest chat id. */
const MAX_ID_CHARS = 128;
const ID = `a string of 1 to ${MAX_ID_CHARS} characters`;

/** Decodes JSON, as text or as UTF-8 bytes. The caller has checked the size. A problem is what is wrong with the frame. */
export function decodeRequest(data: string | ArrayBuffer): { request: AiSdkRequest } | { problem: string } {
  const value = parse(data);
  if (!isRecord(value)) return wrong("it must be a JSON object");
  const { type, requestId, id: chatId } = value;
  if (!isId(requestId)) return wrong(`"requestId" must be ${ID}`);
  if (type === "abort") return { request: { type, requestId } };
  if (type !== "send" && type !== "resume") return wrong('"type" must be send, resume or abort');
  // The database has no text with NUL in it.
  if (!isId(chatId) || chatId.includes("\0")) return wrong(`"id" must be ${ID}`);
  return type === "resume" ? { request: { type, requestId, chatId } } : decodeSend(value, requestId, chatId);
}

/**
 * The request id of a frame that is too large to be parsed, if it begins as the transport writes it. Undefined for an `abort`, which
 * is never large.
 */
export function requestIdOf(data: string | ArrayBuffer): string | undefined {
  if (typeof data !== "string") return undefined;
  return /^\{"type":"(?:send|resume)","requestId":"([^"\\]{1,128})"/.exec(data.slice(0, 200))?.[1];
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function decodeSend(
  { trigger, messageId, messages, body = {} }: Record<string, unknown>,
  requestId: string,
  chatId: string,
): { request: AiSdkRequest } | { problem: string } {
  if (trigger !== "submit-message" && trigger !== "regenerate-message") {
    return wrong('"trigger" must be submit-message or regenerate-message');
  }
  if (messageId !== undefined && typeof messageId !== "string") return wrong('"messageId" must be a string');
  if (!Array.isArray(messages)) return wrong('"messages" must be a list');
  if (!isRecord(body)) return wrong('"body" must be an object');
  return { request: { type: "send", requestId, chatId, trigger, messageId, messages, body } };
}

function parse(data: string | ArrayBuffer): unknown {
  try {
    const text = typeof data === "string" ? data : new TextDecoder("utf-8", { fatal: true }).decode(data);
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_ID_CHARS && value.isWellFormed();
}

function wrong(what: string): { problem: string } {
  return { problem: `Cannot decode frame: ${what}` };
}

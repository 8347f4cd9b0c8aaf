/** Decodes the bodies of the HTTP API, and describes the errors of invalid ones. */

import { type Broadcast, isRecord } from "./frames.ts";
import type { Room } from "./hub.ts";
import { isOver } from "./settings.ts";

export interface Message {
  room: Room;
  broadcast: Broadcast;
}

/** The errors of each field, as `errors` in a body of status 422. */
export type FieldErrors = Record<string, unknown>;

export type Decoded = { messages: Message[] } | { errors: FieldErrors };

const BLANK = ["can't be blank"];
const INVALID = ["is invalid"];
const TOO_BIG = ["Payload size exceeds tenant limit"];

/** The body of `POST /api/broadcast`. */
export function decodeBatch(body: unknown, payloadBytes: number): Decoded {
  const list: unknown = isRecord(body) ? body.messages : undefined;
  if (list === undefined || list === null) return { errors: { messages: BLANK } };
  if (!Array.isArray(list)) return { errors: { messages: INVALID } };
  const decoded = list.map((entry: unknown) => decodeMessage(entry, payloadBytes));
  if (decoded.length === 0) return { errors: { messages: BLANK } };
  const messages = decoded.flatMap((one) => "errors" in one ? [] : [one]);
  if (messages.length === decoded.length) return { messages };
  return { errors: { messages: decoded.map((one) => "errors" in one ? one.errors : {}) } };
}

export interface SingleRequest {
  room: Room;
  event: string;
  contentType: string;
  body: Uint8Array<ArrayBuffer>;
}

/** The request of `POST /api/broadcast/:topic/events/:event`. Throws `SyntaxError` for invalid JSON. */
export function decodeSingle(
  { room, event, contentType, body }: SingleRequest,
  payloadBytes: number,
): Decoded {
  if (isOver(body.length, payloadBytes)) return { errors: { payload: TOO_BIG } };
  const encoding = contentType.startsWith("application/octet-stream") ? "binary" : "json";
  const payload = encoding === "binary" ? body : jsonObject(body);
  return { messages: [{ room, broadcast: { form: "user", message: { event, encoding, payload } } }] };
}

/** The JSON unchanged if it is an object. The real server wraps anything else in an object. */
function jsonObject(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const value: unknown = body.length === 0 ? {} : JSON.parse(new TextDecoder().decode(body));
  if (isRecord(value) && body.length > 0) return body;
  return new TextEncoder().encode(JSON.stringify(isRecord(value) ? value : { _json: value }));
}

function decodeMessage(entry: unknown, payloadBytes: number): Message | { errors: FieldErrors } {
  const { id, topic, event, payload, private: isPrivate } = isRecord(entry) ? entry : {};
  const errors: FieldErrors = {};
  for (const [name, value] of Object.entries({ topic, payload, event })) {
    if (value === undefined || value === null || value === "") errors[name] = BLANK;
  }
  if (errors.topic === undefined && typeof topic !== "string") errors.topic = INVALID;
  if (errors.event === undefined && typeof event !== "string") errors.event = INVALID;
  if (errors.payload === undefined && !isRecord(payload)) errors.payload = INVALID;
  if (isRecord(payload) && isOver(jsonBytes(payload), payloadBytes)) errors.payload = TOO_BIG;
  if (isPrivate !== undefined && isPrivate !== null && typeof isPrivate !== "boolean") {
    errors.private = INVALID;
  }
  if (Object.keys(errors).length > 0 || typeof topic !== "string") return { errors };
  const meta = typeof id === "string" ? { meta: { id } } : {};
  return {
    room: { topic, private: isPrivate === true },
    broadcast: { form: "text", payload: { event, payload, type: "broadcast", ...meta } },
  };
}

function jsonBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

/**
 * Frames of the Realtime protocol, in both directions, in the two versions that supabase-js supports. Pure.
 *
 * Version 1 (`vsn=1.0.0`) is JSON objects. Version 2 (`vsn=2.0.0`) is JSON arrays, and two kinds of binary frame for
 * broadcasts: kind 3 from a client, kind 4 to a client.
 */

import { ByteReader, joinBytes, shortField } from "./bytes.ts";

export type Version = 1 | 2;

/** The client's correlation value: the answer repeats it. */
export type Ref = string | number | null;

/** A broadcast whose payload the server forwards without parsing it. */
export interface UserBroadcast {
  event: string;
  encoding: "json" | "binary";
  payload: Uint8Array<ArrayBuffer>;
}

interface Addressed {
  joinRef: Ref;
  ref: Ref;
  topic: string;
}

export type ClientFrame = Addressed & {
  event: string;
  bytes: number;
  payload: unknown;
  push?: UserBroadcast;
};

export type ServerFrame = Addressed & { event: string; payload: unknown };

/** What the members of a topic receive: `user` as kind 4, or as text in version 1; `text` as text in both. */
export type Broadcast = { form: "user"; message: UserBroadcast } | { form: "text"; payload: unknown };

const CLIENT_BROADCAST = 3;
const SERVER_BROADCAST = 4;
const JSON_ENCODING = 1;

/** Undefined for an invalid frame: the real server does not answer it either. */
export function decodeFrame(version: Version, data: string | ArrayBuffer): ClientFrame | undefined {
  if (typeof data !== "string") return version === 2 ? decodePush(new Uint8Array(data)) : undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(data);
  } catch {
    return undefined;
  }
  const fields = version === 2 ? parsed : inOrder(parsed);
  if (!Array.isArray(fields) || fields.length < 5) return undefined;
  const [joinRef = null, ref = null, topic, event, payload]: unknown[] = fields;
  if (typeof topic !== "string" || typeof event !== "string" || !isRef(joinRef) || !isRef(ref)) {
    return undefined;
  }
  return { joinRef, ref, topic, event, payload, bytes: data.length };
}

export function encodeFrame(version: Version, { joinRef, ref, topic, event, payload }: ServerFrame): string {
  return JSON.stringify(
    version === 2 ? [joinRef, ref, topic, event, payload] : { ref, event, topic, payload },
  );
}

/** Undefined if this version cannot express it: bytes in version 1, or a name over 255 bytes in kind 4. */
export function encodeBroadcast(
  version: Version,
  topic: string,
  broadcast: Broadcast,
): string | Uint8Array<ArrayBuffer> | undefined {
  const toEveryone = { joinRef: null, ref: null, topic, event: "broadcast" };
  if (broadcast.form === "text") return encodeFrame(version, { ...toEveryone, payload: broadcast.payload });
  const { event, encoding, payload } = broadcast.message;
  if (version === 2) return encodePush(topic, broadcast.message);
  if (encoding === "binary") return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(payload));
    return encodeFrame(version, { ...toEveryone, payload: { event, payload: value, type: "broadcast" } });
  } catch {
    return undefined;
  }
}

/** `03`, five lengths and the encoding, then the fields: join_ref, ref, topic, event, metadata, payload. */
function decodePush(bytes: Uint8Array<ArrayBuffer>): ClientFrame | undefined {
  const reader = new ByteReader(bytes);
  if (reader.byte() !== CLIENT_BROADCAST) return undefined;
  const lengths = Array.from({ length: 5 }, () => reader.byte());
  const encoding = reader.byte() === JSON_ENCODING ? "json" : "binary";
  // The metadata says what the sender wants stored. Nothing is stored, and no other client sees the metadata.
  const [joinRef, ref, topic, event, metadata] = lengths.map((length) => reader.text(length));
  if (joinRef === undefined || ref === undefined || topic === undefined || event === undefined) {
    return undefined;
  }
  if (metadata === undefined) return undefined;
  const push: UserBroadcast = { event, encoding, payload: reader.rest() };
  return { joinRef, ref, topic, event: "broadcast", payload: undefined, push, bytes: push.payload.length };
}

/** `04`, three lengths and the encoding, then the fields: topic, event, metadata, payload. */
function encodePush(
  topic: string,
  { event, encoding, payload }: UserBroadcast,
): Uint8Array<ArrayBuffer> | undefined {
  const topicBytes = shortField(topic);
  const eventBytes = shortField(event);
  if (topicBytes === undefined || eventBytes === undefined) return undefined;
  const head = [
    SERVER_BROADCAST,
    topicBytes.length,
    eventBytes.length,
    0,
    encoding === "json" ? JSON_ENCODING : 0,
  ];
  return joinBytes([Uint8Array.from(head), topicBytes, eventBytes, payload]);
}

/** The fields of a version 1 object in the order of version 2. */
function inOrder(parsed: unknown): unknown[] | undefined {
  if (!isRecord(parsed)) return undefined;
  return [parsed.join_ref, parsed.ref, parsed.topic, parsed.event, parsed.payload];
}

function isRef(value: unknown): value is Ref {
  return value === null || typeof value === "string" || typeof value === "number";
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

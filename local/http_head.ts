/**
 * The head of an HTTP/1.1 message: start line and headers, as bytes on a socket. The gateway reads only the head. It
 * passes on everything after it unchanged.
 */

import { Buffer } from "node:buffer";

const MAX_HEAD_BYTES = 32 * 1024;

/** The part of `Deno.Conn` that reading needs. */
export interface ByteSource {
  read(buffer: Uint8Array): Promise<number | null>;
}

/** A header as it was received: name in its original case, value without the surrounding space. */
export type HeaderLine = readonly [name: string, value: string];

export interface Head {
  startLine: string;
  headers: readonly HeaderLine[];
  /** The bytes already read after the head: the start of the body, or of whatever follows. */
  rest: Uint8Array;
}

/** No head could be read; `kind` says why. `silent`: the peer closed before it sent anything, which is not an error. */
export class HeadError extends Error {
  override readonly name = "HeadError";
  readonly kind: "silent" | "cut" | "too_large" | "malformed";

  constructor(kind: HeadError["kind"], message: string) {
    super(`Cannot read the HTTP head: ${message}`);
    this.kind = kind;
  }
}

/** Reads one head. Rejects with {@linkcode HeadError}, or with the error of the source. */
export async function readHead(source: ByteSource): Promise<Head> {
  const buffer = Buffer.alloc(MAX_HEAD_BYTES);
  let length = 0;
  while (true) {
    const count = await source.read(buffer.subarray(length));
    if (count === null) {
      throw length === 0
        ? new HeadError("silent", "the peer closed before it said anything")
        : new HeadError("cut", "the peer closed in the middle of it");
    }
    // The end of the head may be split over two reads.
    const from = Math.max(0, length - 3);
    length += count;
    const end = buffer.subarray(0, length).indexOf("\r\n\r\n", from);
    if (end >= 0) {
      // latin1: one byte is one character, so that encoding returns exactly the bytes that were read.
      return parse(buffer.toString("latin1", 0, end), Uint8Array.from(buffer.subarray(end + 4, length)));
    }
    if (length === MAX_HEAD_BYTES) {
      throw new HeadError("too_large", `it is longer than ${MAX_HEAD_BYTES} bytes`);
    }
  }
}

function parse(text: string, rest: Uint8Array): Head {
  const [startLine = "", ...lines] = text.split("\r\n");
  const headers = lines.map((line): HeaderLine => {
    const colon = line.indexOf(":");
    if (colon < 1 || /\s/.test(line.slice(0, colon))) {
      throw new HeadError("malformed", "a header line is not `name: value`");
    }
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { startLine, headers, rest };
}

/** The bytes of a head with its empty line, and the rest that was read after it. */
export function encodeHead({ startLine, headers, rest }: Head): Uint8Array {
  const text = [startLine, ...headers.map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n");
  return Buffer.concat([Buffer.from(text, "latin1"), rest]);
}

/** The values of a header, joined as HTTP joins them; "" if there is none. `name` is in lower case. */
export function headerValue(head: Head, name: string): string {
  return head.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value).join(", ");
}

/** The headers without those of `names` (in lower case), followed by `added`. */
export function withHeaders(head: Head, names: readonly string[], added: readonly HeaderLine[]): Head {
  const kept = head.headers.filter(([name]) => !names.includes(name.toLowerCase()));
  return { ...head, headers: [...kept, ...added] };
}

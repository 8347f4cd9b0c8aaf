/** Reading and writing the fields of a binary frame. */

/** The length of a field is one byte. */
const MAX_FIELD_BYTES = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads field after field. A field that is missing or is not UTF-8 is undefined, and so are all fields after it. */
export class ByteReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  byte(): number | undefined {
    return this.#bytes[this.#at++];
  }

  text(length: number | undefined): string | undefined {
    if (length === undefined) return undefined;
    const end = this.#at + length;
    const field = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    if (field.length < length) return undefined;
    try {
      return decoder.decode(field);
    } catch {
      return undefined;
    }
  }

  rest(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#at);
  }
}

/** The text as UTF-8; undefined if it is too long for a field. */
export function shortField(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = encoder.encode(text);
  return bytes.length > MAX_FIELD_BYTES ? undefined : bytes;
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

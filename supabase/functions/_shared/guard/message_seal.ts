/**
 * Signs the relay's messages with a key derived from the project's secret key, and checks the signatures.
 *
 * Row level security on `realtime.messages` keeps other clients off the topics. That depends on a migration and on the
 * project's own database; the signature does not. It covers the topic, the event and the time, so that a message cannot be
 * replayed on another topic or later. It does not encrypt.
 */

import type { RelayMessage } from "../ports/relay.ts";

/** Longest delivery time plus clock skew between two workers. */
const MAX_AGE_MS = 60_000;
/** Accepted messages kept to detect replays, each as long as it could be accepted again. The oldest are dropped first. */
const MAX_REMEMBERED = 10_000;
/** Context of the key derivation (HKDF `info`). Another use of the same secret key needs another label. */
const LABEL = "agent_websocket relay v1";
/** HMAC-SHA-256 in canonical base64: the last character has two unused bits, which a decoder ignores. */
const MAC = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** A signed payload. `body` is the payload as JSON text, because Realtime may reorder the keys of an object. */
interface Sealed {
  /** Milliseconds since the epoch. */
  at: number;
  body: string;
  mac: string;
}

/** `Uint8Array`, which has a type parameter in later versions of TypeScript than the platform's. */
type Bytes = ReturnType<TextEncoder["encode"]>;

/** Why a message is dropped: no valid signature, outside the time window, or a replay. */
export type SealProblem = "forged" | "stale" | "repeated";
export type Unsealed = { payload: unknown } | { problem: SealProblem };

export class MessageSeal {
  readonly #secretKeys: readonly string[];
  #keys: Promise<readonly CryptoKey[]> | undefined;
  /** `at` of each accepted message by its `mac`, in order of arrival. */
  readonly #seen = new Map<string, number>();

  /** Signs with the first of `secretKeys`; accepts any of them. Throws a `TypeError` if there is no key. */
  constructor(secretKeys: readonly string[]) {
    if (secretKeys.length === 0) throw new TypeError("Cannot sign messages: there is no secret key");
    this.#secretKeys = secretKeys;
  }

  /** The signed payload for `body`, which is the message's payload as JSON. `nowMs`: milliseconds since the epoch. */
  async seal(
    topic: string,
    { event, body }: { event: string; body: string },
    nowMs: number,
  ): Promise<Sealed> {
    const at = Math.floor(nowMs);
    const [key] = await this.#derived();
    if (key === undefined) throw new TypeError("Cannot sign messages: there is no secret key");
    const mac = await crypto.subtle.sign("HMAC", key, signedBytes({ topic, event, at, body }));
    return { at, body, mac: btoa(String.fromCharCode(...new Uint8Array(mac))) };
  }

  /** Verifies a message received on `topic`: its payload, or why to drop it. Accepts each message once. */
  async open(topic: string, { event, payload }: RelayMessage, nowMs: number): Promise<Unsealed> {
    if (!isSealed(payload)) return { problem: "forged" };
    const { at, body, mac } = payload;
    if (Math.abs(nowMs - at) > MAX_AGE_MS) return { problem: "stale" };
    if (!await this.#isOurs(mac, signedBytes({ topic, event, at, body }))) return { problem: "forged" };
    return this.#isNew(mac, at, nowMs) ? { payload: JSON.parse(body) } : { problem: "repeated" };
  }

  async #isOurs(mac: string, bytes: Bytes): Promise<boolean> {
    const signature = Uint8Array.from(atob(mac), (char) => char.charCodeAt(0));
    for (const key of await this.#derived()) {
      if (await crypto.subtle.verify("HMAC", key, signature, bytes)) return true;
    }
    return false;
  }

  #isNew(mac: string, at: number, nowMs: number): boolean {
    if (this.#seen.has(mac)) return false;
    for (const [oldest, oldestAt] of this.#seen) {
      if (nowMs - oldestAt <= MAX_AGE_MS && this.#seen.size < MAX_REMEMBERED) break;
      this.#seen.delete(oldest);
    }
    this.#seen.set(mac, at);
    return true;
  }

  #derived(): Promise<readonly CryptoKey[]> {
    return this.#keys ??= Promise.all(this.#secretKeys.map(derive));
  }
}

/** A key for this purpose only: it does not reveal the secret key. */
async function derive(secretKey: string): Promise<CryptoKey> {
  const bytes = new TextEncoder().encode(secretKey);
  const secret = await crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveKey"]);
  const info = new TextEncoder().encode(LABEL);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info };
  const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
  return await crypto.subtle.deriveKey(hkdf, secret, hmac, false, ["sign", "verify"]);
}

/** The header is JSON, so that two different messages never have the same bytes. */
function signedBytes(
  { topic, event, at, body }: { topic: string; event: string; at: number; body: string },
): Bytes {
  return new TextEncoder().encode(`${JSON.stringify([topic, event, at])}\n${body}`);
}

function isSealed(payload: unknown): payload is Sealed {
  return typeof payload === "object" && payload !== null &&
    "at" in payload && Number.isSafeInteger(payload.at) &&
    "body" in payload && typeof payload.body === "string" &&
    "mac" in payload && typeof payload.mac === "string" && MAC.test(payload.mac);
}

/**
 * The relay's messages, signed: only who has one of the project's secret keys can make one that is accepted.
 *
 * Row level security on `realtime.messages` keeps others off the topics. That depends on a migration and on the project's
 * database; the signature does not. It covers the topic, the event and the time, so that a message cannot be sent again
 * elsewhere, nor later. It hides nothing.
 */

import type { RelayMessage } from "../ports.ts";

/** How far the clocks of two workers, and the way between them, may be apart. */
const MAX_AGE_MS = 60_000;
/** Accepted messages that are remembered, for {@linkcode MAX_AGE_MS} at most: the oldest are forgotten first. */
const MAX_REMEMBERED = 10_000;
/** What the keys are derived for. Another use of the same secret key needs another label. */
const LABEL = "agent_websocket relay v1";
/** HMAC-SHA-256 in base64, in its one spelling: the last character holds four bits only, and a decoder passes over the rest. */
const MAC = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** A signed payload. `body` is the payload as JSON: a text, as Realtime may write an object in another order. */
interface Sealed {
  /** Milliseconds since the epoch. */
  at: number;
  body: string;
  mac: string;
}

/** Why a message is not accepted: no key of ours signed it, it is too old, or it was accepted before. */
export type SealProblem = "forged" | "stale" | "repeated";
export type Unsealed = { payload: unknown } | { problem: SealProblem };

export class MessageSeal {
  readonly #secretKeys: readonly string[];
  #keys: Promise<readonly CryptoKey[]> | undefined;
  /** By `mac`, the time that the message names: in the order in which they came. */
  readonly #seen = new Map<string, number>();

  /** The first of `secretKeys` signs, any of them is accepted. */
  constructor(secretKeys: readonly string[]) {
    if (secretKeys.length === 0) throw new TypeError("Cannot sign messages: there is no secret key");
    this.#secretKeys = secretKeys;
  }

  /** The payload that is sent in the place of `body`, the message's payload as JSON. */
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

  /** The payload of a message that came on `topic`, or why it does not count. Each message is accepted once. */
  async open(topic: string, { event, payload }: RelayMessage, nowMs: number): Promise<Unsealed> {
    if (!isSealed(payload)) return { problem: "forged" };
    const { at, body, mac } = payload;
    if (Math.abs(nowMs - at) > MAX_AGE_MS) return { problem: "stale" };
    if (!await this.#isOurs(mac, signedBytes({ topic, event, at, body }))) return { problem: "forged" };
    return this.#isNew(mac, at, nowMs) ? { payload: JSON.parse(body) } : { problem: "repeated" };
  }

  async #isOurs(mac: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
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

/** A key for this use alone: whoever learns it has not learnt the project's. */
async function derive(secretKey: string): Promise<CryptoKey> {
  const bytes = new TextEncoder().encode(secretKey);
  const secret = await crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveKey"]);
  const info = new TextEncoder().encode(LABEL);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info };
  const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
  return await crypto.subtle.deriveKey(hkdf, secret, hmac, false, ["sign", "verify"]);
}

/** JSON in front, so that no two messages have the same bytes. */
function signedBytes(
  { topic, event, at, body }: { topic: string; event: string; at: number; body: string },
): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify([topic, event, at])}\n${body}`);
}

function isSealed(payload: unknown): payload is Sealed {
  return typeof payload === "object" && payload !== null &&
    "at" in payload && Number.isSafeInteger(payload.at) &&
    "body" in payload && typeof payload.body === "string" &&
    "mac" in payload && typeof payload.mac === "string" && MAC.test(payload.mac);
}

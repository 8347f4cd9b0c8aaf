/** What waits to be sent on one topic, in the order in which it goes. */

import type { AgentError } from "../errors.ts";
import type { RelayMessage } from "../ports/relay.ts";
import { encodeRelayPayload, MAX_RELAY_BATCH_BYTES, utf8Bytes } from "../protocol/relay_payload.ts";
import type { Lane } from "./post_budget.ts";
import { BATCH_FRAME_BYTES, MESSAGE_FRAME_BYTES } from "./relay_batch.ts";

/** What the message of a {@linkcode RelaySource} may take in a broadcast: two always fit. */
export const MAX_SOURCE_BYTES = 120_000;

export interface RingOptions {
  /** One that waits on the same topic with the same key is replaced. Default: each goes by itself. */
  key?: string;
  /** Default `prompt`. */
  lane?: Lane;
}

/** Has a message whenever one can be sent: only what is new then. */
export interface RelaySource {
  /** There is one of a key at a time; offered again while it waits, it changes nothing. */
  key: string;
  /** At most {@linkcode MAX_SOURCE_BYTES}; undefined where there is nothing to say any more. Must not throw. */
  make(): RelayMessage | undefined;
  /** What was made last was not taken. */
  onFailed(): void;
}

/** Its publisher waits for the outcome: it is sent once, or refused. */
export interface Letter {
  kind: "letter";
  message: RelayMessage;
  bytes: number;
  settle: { resolve(): void; reject(error: AgentError): void };
}

/** Its content can be found elsewhere, only later: it is sent again after a failure, and dropped if there is no room. */
export interface Hint {
  kind: "hint";
  message: RelayMessage;
  bytes: number;
  /** What it replaces, and is replaced by, while it waits. */
  key?: string;
  failures: number;
}

export type Waiting =
  & { lane: Lane; since: number }
  & (Letter | Hint | { kind: "source"; source: RelaySource });

/** What goes out now. */
export interface Taken {
  entry: Waiting;
  message: RelayMessage;
}

/**
 * The bytes of a message within a broadcast. Throws as {@linkcode encodeRelayPayload} does.
 */
export function messageBytes({ event, payload }: RelayMessage): number {
  return MESSAGE_FRAME_BYTES + utf8Bytes(JSON.stringify(event)) + utf8Bytes(encodeRelayPayload(payload));
}

/** Since when the oldest has been waiting. Messages that wait again after a failure do not count: the failure was reported. */
export function oldestOf(batch: readonly Taken[]): number {
  return Math.min(
    ...batch.map(({ entry }) => entry.kind === "hint" && entry.failures > 0 ? Infinity : entry.since),
  );
}

export class TopicQueue {
  #lanes: Record<Lane, Set<Waiting>> = { prompt: new Set(), background: new Set() };
  readonly #byKey = new Map<string, Waiting>();
  /** Of all that wait, but for sources, which are made when they are sent. */
  bytes = 0;
  /** A broadcast is under way: another could overtake it. */
  isSending = false;
  /** When the next broadcast may go, and from when on it may carry what is in the background. */
  restsUntil = -Infinity;
  backgroundFrom = -Infinity;

  get size(): number {
    return this.#lanes.prompt.size + this.#lanes.background.size;
  }

  /** Since when the oldest of a lane has been waiting; undefined where none does. */
  since(lane: Lane): number | undefined {
    const [oldest] = this.#lanes[lane];
    return oldest?.since;
  }

  /** Puts it at the end; answers whether it took the place of another instead. */
  add(entry: Waiting): boolean {
    const key = keyOf(entry);
    const known = key === undefined ? undefined : this.#byKey.get(key);
    if (known !== undefined) {
      if (known.kind === "hint" && entry.kind === "hint") {
        this.bytes += entry.bytes - known.bytes;
        Object.assign(known, { message: entry.message, bytes: entry.bytes, failures: entry.failures });
      }
      return true;
    }
    this.#lanes[entry.lane].add(entry);
    this.bytes += bytesOf(entry);
    if (key !== undefined) this.#byKey.set(key, entry);
    return false;
  }

  /** Puts messages that were not accepted back, before all that came since. Replaced ones are left out. */
  addFirst(entries: readonly Waiting[]): void {
    const later = this.#lanes;
    this.#lanes = { prompt: new Set(), background: new Set() };
    for (const entry of entries) {
      const key = keyOf(entry);
      if (key !== undefined && this.#byKey.has(key)) continue;
      this.add(entry);
    }
    for (const lane of ["prompt", "background"] as const) {
      for (const entry of later[lane]) this.#lanes[lane].add(entry);
    }
  }

  /**
   * The first that fit into one broadcast, the background after all others: at least one of them, as each alone is small
   * enough. Empty where nothing has anything to say.
   */
  take({ withBackground }: { withBackground: boolean }): Taken[] {
    const taken: Taken[] = [];
    let bytes = BATCH_FRAME_BYTES;
    const { prompt, background } = this.#lanes;
    for (const entry of withBackground ? [...prompt, ...background] : [...prompt]) {
      // The comma.
      if (taken.length > 0) bytes++;
      const needed = entry.kind === "source" ? MAX_SOURCE_BYTES : entry.bytes;
      if (taken.length > 0 && bytes + needed > MAX_RELAY_BATCH_BYTES) break;
      this.remove(entry);
      const message = entry.kind === "source" ? entry.source.make() : entry.message;
      if (message === undefined) continue;
      bytes += entry.kind === "source" ? messageBytes(message) : entry.bytes;
      taken.push({ entry, message });
    }
    return taken;
  }

  /** Removes the oldest hint, a background one first; undefined if there is none. */
  dropHint(): Waiting | undefined {
    for (const lane of [this.#lanes.background, this.#lanes.prompt]) {
      for (const entry of lane) {
        if (entry.kind !== "hint") continue;
        this.remove(entry);
        return entry;
      }
    }
    return undefined;
  }

  /** All that wait. */
  entries(): readonly Waiting[] {
    return [...this.#lanes.prompt, ...this.#lanes.background];
  }

  remove(entry: Waiting): void {
    if (!this.#lanes[entry.lane].delete(entry)) return;
    this.bytes -= bytesOf(entry);
    const key = keyOf(entry);
    if (key !== undefined) this.#byKey.delete(key);
  }
}

function keyOf(entry: Waiting): string | undefined {
  if (entry.kind === "source") return entry.source.key;
  return entry.kind === "hint" ? entry.key : undefined;
}

function bytesOf(entry: Waiting): number {
  return entry.kind === "source" ? 0 : entry.bytes;
}

/** Topics and their members: each message published on a topic reaches each member once. */

import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { type Broadcast, encodeBroadcast, type Version } from "./frames.ts";
import { MessageRate } from "./message_rate.ts";

/** A public and a private topic of the same name are different rooms. */
export interface Room {
  /** Without `realtime:`. */
  topic: string;
  private: boolean;
}

export interface Member {
  readonly version: Version;
  deliver(frame: string | Uint8Array<ArrayBuffer>): void;
  /** Ends the membership, with the reason. */
  shutDown(message: string): void;
}

/** The prefix in frames. URLs and policies do not use it. */
export const TOPIC_PREFIX = "realtime:";

/**
 * A message counts as in transit to the members for this time. If the limit is reached then, the members are shut out.
 */
const UNDER_WAY_MS = 1000;
const TOO_MANY = "Too many messages per second";
/** The answers to posts (realtime, batch_broadcast.ex). The second one is for a post that would pass the limit by itself. */
const RATE_EXCEEDED = "You have exceeded your rate limit";
const BATCH_TOO_LARGE = "Too many messages to broadcast, please reduce the batch size";

interface Members {
  readonly members: Set<Member>;
  /** When a message was last sent to them. */
  busyAt: number;
}

export class Hub {
  readonly #clock: Pick<Clock, "now">;
  readonly #rooms = new Map<string, Members>();
  readonly #rate: MessageRate;
  #exceededAt: number | undefined;
  #isOverloaded = false;
  #published = 0;
  #refused = 0;
  #closed = 0;

  constructor({ clock, eventsPerSecond }: { clock: Clock; eventsPerSecond: number }) {
    this.#clock = clock;
    this.#rate = new MessageRate(clock, eventsPerSecond);
  }

  /** Counts since the start: accepted broadcasts, and the posts refused and channels closed for too many messages. */
  get counts(): { published: number; refused: number; closed: number } {
    return { published: this.#published, refused: this.#refused, closed: this.#closed };
  }

  /** The current message rate and its limit. */
  get rate(): { perSecond: number; limit: number } {
    const { perSecond, limit } = this.#rate;
    return { perSecond: this.#isOverloaded ? Math.max(limit, perSecond) : perSecond, limit };
  }

  /**
   * Simulates another part of the project that uses up the whole limit: every member is shut out, and posts are
   * refused.
   */
  overload(isOverloaded: boolean): void {
    this.#isOverloaded = isOverloaded;
    if (!isOverloaded) return;
    for (const { members } of [...this.#rooms.values()]) this.#shutOut(members);
  }

  join(room: Room, member: Member): void {
    const key = keyOf(room);
    const known = this.#rooms.get(key) ?? { members: new Set(), busyAt: -Infinity };
    this.#rooms.set(key, known);
    known.members.add(member);
  }

  leave(room: Room, member: Member): void {
    const key = keyOf(room);
    const known = this.#rooms.get(key);
    known?.members.delete(member);
    if (known?.members.size === 0) this.#rooms.delete(key);
  }

  /**
   * Why a post of so many messages is refused; undefined if it is accepted. If the event rate is over the limit, every room
   * with messages in transit is shut out.
   */
  refusalOf(messages: number): string | undefined {
    const { exceededAt, perSecond, limit } = this.#rate;
    if (exceededAt !== undefined && exceededAt !== this.#exceededAt) {
      for (const { members, busyAt } of [...this.#rooms.values()]) {
        if (busyAt >= exceededAt - UNDER_WAY_MS) this.#shutOut(members);
      }
    }
    this.#exceededAt = exceededAt;
    const refusal = exceededAt !== undefined || this.#isOverloaded
      ? RATE_EXCEEDED
      : limit > 0 && messages + perSecond > limit
      ? BATCH_TOO_LARGE
      : undefined;
    if (refusal !== undefined) this.#refused++;
    return refusal;
  }

  /**
   * Delivers to every member except `from`. If the event rate is over the limit, every member is shut out, as on the
   * platform.
   */
  publish(room: Room, broadcast: Broadcast, from?: Member): void {
    this.#published++;
    this.#rate.add();
    const known = this.#rooms.get(keyOf(room));
    if (known === undefined) return;
    known.busyAt = this.#clock.now();
    const encoded = new Map<Version, string | Uint8Array<ArrayBuffer> | undefined>();
    for (const member of known.members) {
      if (member === from) continue;
      const { version } = member;
      if (!encoded.has(version)) {
        encoded.set(version, encodeBroadcast(version, `${TOPIC_PREFIX}${room.topic}`, broadcast));
      }
      const frame = encoded.get(version);
      if (frame === undefined) continue;
      this.#rate.add();
      member.deliver(frame);
    }
    if (this.#isOverloaded || this.#rate.exceededAt !== undefined) this.#shutOut(known.members);
  }

  #shutOut(members: ReadonlySet<Member>): void {
    for (const member of [...members]) {
      this.#closed++;
      member.shutDown(TOO_MANY);
    }
  }
}

function keyOf({ topic, private: isPrivate }: Room): string {
  return `${isPrivate ? "private" : "public"}:${topic}`;
}

/** Topics and their members: what is published on one reaches each of them once. */

import type { Clock } from "../../supabase/functions/_shared/ports.ts";
import { type Broadcast, encodeBroadcast, type Version } from "./frames.ts";
import { RateMeter } from "./rate_meter.ts";
import { isOver } from "./settings.ts";

/** A public and a private topic of the same name are two. */
export interface Room {
  /** Without `realtime:`. */
  topic: string;
  private: boolean;
}

export interface Member {
  readonly version: Version;
  deliver(frame: string | Uint8Array<ArrayBuffer>): void;
  /** Ends the membership, telling why. */
  shutDown(message: string): void;
}

/** `realtime:` on the wire, nothing in a URL or in a policy. */
export const TOPIC_PREFIX = "realtime:";

export class Hub {
  readonly #rooms = new Map<string, Set<Member>>();
  readonly #meter: RateMeter;
  readonly #eventsPerSecond: number;
  #published = 0;

  constructor({ clock, eventsPerSecond }: { clock: Clock; eventsPerSecond: number }) {
    this.#eventsPerSecond = eventsPerSecond;
    // As the real server: bursts pass, what lasts does not.
    this.#meter = new RateMeter(clock, { spans: 12, spanMs: 5000 });
  }

  /** Broadcasts taken since the start. */
  get published(): number {
    return this.#published;
  }

  /** What goes on at the moment, and what may. */
  get rate(): { perSecond: number; limit: number; exceeded: boolean } {
    const perSecond = this.#meter.perSecond();
    const limit = this.#eventsPerSecond;
    return { perSecond, limit, exceeded: isOver(perSecond, limit) };
  }

  join(room: Room, member: Member): void {
    const key = keyOf(room);
    const members = this.#rooms.get(key) ?? new Set();
    this.#rooms.set(key, members.add(member));
  }

  leave(room: Room, member: Member): void {
    const key = keyOf(room);
    const members = this.#rooms.get(key);
    members?.delete(member);
    if (members?.size === 0) this.#rooms.delete(key);
  }

  /** Delivers to every member but `from`. Over the limit on events, every member is shut out, as on the platform. */
  publish(room: Room, broadcast: Broadcast, from?: Member): void {
    this.#published++;
    this.#meter.add();
    const members = this.#rooms.get(keyOf(room)) ?? new Set();
    const encoded = new Map<Version, string | Uint8Array<ArrayBuffer> | undefined>();
    for (const member of members) {
      if (member === from) continue;
      const { version } = member;
      if (!encoded.has(version)) {
        encoded.set(version, encodeBroadcast(version, `${TOPIC_PREFIX}${room.topic}`, broadcast));
      }
      const frame = encoded.get(version);
      if (frame === undefined) continue;
      this.#meter.add();
      member.deliver(frame);
    }
    if (!this.rate.exceeded) return;
    for (const member of [...members]) member.shutDown("Too many messages per second");
  }
}

function keyOf({ topic, private: isPrivate }: Room): string {
  return `${isPrivate ? "private" : "public"}:${topic}`;
}

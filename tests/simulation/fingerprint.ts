/** Compares two worlds without regard to their clocks and counters. */

import type { SmallWorld } from "./small_world.ts";

/** Points in time. Only their distance from now counts, and whether they have passed. */
const TIMES = new Set([
  "until",
  "renewedAt",
  "retryAt",
  "checkpointAt",
  "sentAt",
  "leaseUntil",
  "wakeAt",
  "tailAskedAt",
  "tailWantedUntil",
  "deadline",
]);
/** Fields that never affect what happens next. */
const LEFT_OUT = new Set([
  "at",
  "now",
  "post",
  "settings",
  "counts",
  "resent",
  "callsForResent",
  "callsOf",
  "writers",
  "history",
  "endedTurns",
  "repeated",
  "keys",
  "thoughts",
  "wantsReasoning",
]);

/** The sum of two numbers below this is a safe integer. */
const HALF = 4_503_599_627_370_449;

const hashes = new WeakMap<object, { now: number; value: number }>();

/** The hash of a worker is cached until a move changes the worker. */
function hashOf(worker: object, now: number): number {
  const known = hashes.get(worker);
  if (known?.now === now) return known.value;
  const hash = new Hash(now);
  hash.add(worker);
  hashes.set(worker, { now, value: hash.value });
  return hash.value;
}

/** A hash of 53 bits. It is equal for worlds that can continue in the same ways. */
export function fingerprint({ world, budget, pending }: SmallWorld): number {
  const hash = new Hash(world.now);
  hash.number(hashOf(world.store, world.now));
  for (const worker of world.workers.values()) hash.number(hashOf(worker, world.now));
  hash.add(world.clients);
  hash.add(world.runs);
  hash.add(budget);
  // The order in which they were sent does not count: the sum is exact, so it is the same in any order.
  let messages = 0;
  for (const message of pending) messages = (messages + hashOf(message, world.now) % HALF) % HALF;
  hash.number(messages);
  return hash.value;
}

const ids = new Map<string, number>();

/** A number for each string: hashing its characters each time would be most of the work. */
function idOf(text: string): number {
  let id = ids.get(text);
  if (id === undefined) ids.set(text, id = ids.size + 1000);
  return id;
}

/** By field name: its number, 0 if the field does not count. */
const fields = new Map<string, { id: number; isTime: boolean }>();

function fieldOf(key: string): { id: number; isTime: boolean } {
  const field = { id: LEFT_OUT.has(key) ? 0 : idOf(key), isTime: TIMES.has(key) };
  fields.set(key, field);
  return field;
}

class Hash {
  readonly #now: number;
  #a = 0x811c9dc5;
  #b = 0x9e3779b9;

  constructor(now: number) {
    this.#now = now;
  }

  get value(): number {
    return (this.#a >>> 0) * 2_097_152 + ((this.#b >>> 0) & 0x1fffff);
  }

  number(value: number): void {
    this.#mix(value | 0);
    this.#mix(Math.floor(value / 4_294_967_296) | 0);
  }

  add(value: unknown): void {
    switch (typeof value) {
      case "string":
        return this.#mix(idOf(value));
      case "number":
        return this.number(value === Infinity ? -1 : value);
      case "boolean":
        return this.#mix(value ? 3 : 4);
      case "object":
        return this.#object(value);
      default:
        return this.#mix(5);
    }
  }

  #object(value: object | null): void {
    if (value === null) return this.#mix(6);
    this.#mix(7);
    if (Array.isArray(value)) { for (const each of value) this.add(each); }
    else if (value instanceof Set) { for (const each of value) this.add(each); }
    else if (value instanceof Map) {
      for (const [key, each] of value) {
        this.add(key);
        this.add(each);
      }
    } else this.#fields(value);
    this.#mix(8);
  }

  #fields(value: object): void {
    for (const key in value) {
      const { id, isTime } = fields.get(key) ?? fieldOf(key);
      if (id === 0) continue;
      this.#mix(id);
      const each = (value as Record<string, unknown>)[key];
      if (isTime && typeof each === "number") this.number(each <= this.#now ? -1 : each - this.#now);
      else this.add(each);
    }
  }

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul((this.#b ^ value) + (this.#b << 5), 0x85ebca6b) ^ (this.#b >>> 13);
  }
}

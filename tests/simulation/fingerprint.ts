/** Compares two worlds: they are equal if they can go on in the same ways, whatever their clocks and counters say. */

import type { SmallWorld } from "./small_world.ts";

/** Points in time until which something holds: what counts is how far away they are, or that they have passed. */
const UNTIL = new Set([
  "until",
  "retryAt",
  "checkpointAt",
  "leaseUntil",
  "wakeAt",
  "tailWantedUntil",
  "mayRepeatUntil",
  "expiresAt",
  "deadline",
]);
/** Points in time since which something holds: what counts is how long ago they are, up to {@linkcode LONG_AGO_MS}. */
const SINCE = new Set(["renewedAt", "sentAt", "tailAskedAt"]);
/** Longer than any time that the core compares with. */
const LONG_AGO_MS = 60_000;
/** Fields that never affect what happens next. `numbers`: the writes of a worker are counted from the last that was executed. */
const LEFT_OUT = new Set([
  "numbers",
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

const hashes = new WeakMap<object, { now: number; executed: number; value: number }>();

/** The hash of a part of the world is cached: a move copies what it changes. `executed`: the last write of its worker. */
function hashOf(part: object, now: number, executed = 0): number {
  const known = hashes.get(part);
  if (known?.now === now && known.executed === executed) return known.value;
  const hash = new Hash(now, executed);
  hash.add(part);
  hashes.set(part, { now, executed, value: hash.value });
  return hash.value;
}

/** A hash of 53 bits. It is equal for worlds that can continue in the same ways. */
export function fingerprint({ world, budget, pending }: SmallWorld): number {
  const { now, store } = world;
  const executed = (worker: string): number => store.numbers.get(worker) ?? 0;
  const hash = new Hash(now);
  hash.number(hashOf(store, now));
  for (const worker of world.workers.values()) hash.number(hashOf(worker, now, executed(worker.id)));
  hash.add(world.clients);
  hash.add(world.runs);
  hash.add(budget);
  // The order in which they were sent does not count: the sum is exact, so it is the same in any order.
  let messages = 0;
  for (const message of pending) {
    const worker = message.kind === "write" ? message.from : message.to;
    messages = (messages + hashOf(message, now, executed(worker)) % HALF) % HALF;
  }
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

interface Field {
  /** 0 if the field does not count. */
  id: number;
  time: "until" | "since" | undefined;
}

const fields = new Map<string, Field>();

function fieldOf(key: string): Field {
  const time = UNTIL.has(key) ? "until" : SINCE.has(key) ? "since" : undefined;
  const field: Field = { id: LEFT_OUT.has(key) ? 0 : idOf(key), time };
  fields.set(key, field);
  return field;
}

/** Whether a field counts the writes of a worker. The number of a checkpoint counts the pieces of a turn. */
function isWriteNumber(key: string, owner: object): boolean {
  return key === "lastWrite" || key === "number" && !("turnId" in owner);
}

class Hash {
  readonly #now: number;
  readonly #executed: number;
  #a = 0x811c9dc5;
  #b = 0x9e3779b9;

  constructor(now: number, executed = 0) {
    this.#now = now;
    this.#executed = executed;
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
      const { id, time } = fields.get(key) ?? fieldOf(key);
      if (id === 0) continue;
      this.#mix(id);
      const each = (value as Record<string, unknown>)[key];
      if (typeof each !== "number") this.add(each);
      else if (time === "until") this.add(Math.max(each - this.#now, 0));
      else if (time === "since") this.add(Math.min(this.#now - each, LONG_AGO_MS));
      else this.add(isWriteNumber(key, value) ? each - this.#executed : each);
    }
  }

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul((this.#b ^ value) + (this.#b << 5), 0x85ebca6b) ^ (this.#b >>> 13);
  }
}

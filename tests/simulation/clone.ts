/** Copies of plain data. */

/** A deep copy of plain data. Frozen values are shared. */
export function clone<T>(value: T): T {
  return copy(value) as T;
}

/** Freezes plain data deeply: arrays and objects, and what is in them. Maps and sets are left as they are. Returns it. */
export function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (value instanceof Map || value instanceof Set) return value;
  Object.freeze(value);
  for (const each of Object.values(value)) freeze(each);
  return value;
}

function copy(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (Array.isArray(value)) return value.map(copy);
  if (value instanceof Map) {
    const map = new Map<unknown, unknown>();
    for (const [key, each] of value) map.set(key, copy(each));
    return map;
  }
  if (value instanceof Set) return new Set(value);
  const object: Record<string, unknown> = { ...value };
  for (const key in object) {
    const each = object[key];
    if (typeof each === "object" && each !== null) object[key] = copy(each);
  }
  return object;
}

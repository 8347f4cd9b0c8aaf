/**
 * Maps that cost nothing while they are empty. An idle session has several of them, and an empty `Map` takes 184 bytes (Deno 2.9.6):
 * all that are empty are one shared object, which the type does not let anyone change.
 */

/** A map that is changed by {@linkcode withEntry} and {@linkcode withoutEntry} only. */
export type LazyMap<Key, Value> = ReadonlyMap<Key, Value>;

const EMPTY = Object.freeze(new Map<never, never>());

export function emptyMap(): LazyMap<never, never> {
  return EMPTY;
}

/** The map with the entry: the same one, changed in place, unless it was empty. */
export function withEntry<Key, Value>(map: LazyMap<Key, Value>, key: Key, value: Value): LazyMap<Key, Value> {
  return (map === EMPTY ? new Map<Key, Value>() : map as Map<Key, Value>).set(key, value);
}

/** The map without the entry: the same one, changed in place, unless it is empty then. */
export function withoutEntry<Key, Value>(map: LazyMap<Key, Value>, key: Key): LazyMap<Key, Value> {
  if (map.size > 0) (map as Map<Key, Value>).delete(key);
  return map.size === 0 ? EMPTY : map;
}

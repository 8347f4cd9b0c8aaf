import assert from "node:assert/strict";
import {
  emptyMap,
  type LazyMap,
  withEntry,
  withoutEntry,
} from "../../../../supabase/functions/_shared/session/core/lazy_map.ts";

Deno.test("LazyMap: empty maps are one object, which an entry leaves as it is", () => {
  const one: LazyMap<string, number> = withEntry<string, number>(emptyMap(), "a", 1);
  const other: LazyMap<string, number> = withEntry<string, number>(emptyMap(), "b", 2);
  assert.deepEqual([[...one], [...other]], [[["a", 1]], [["b", 2]]]);
  assert.equal(emptyMap().size, 0);
  assert.equal(withoutEntry(one, "a"), emptyMap());
  assert.equal(withoutEntry<string, number>(emptyMap(), "a"), emptyMap());
});

Deno.test("LazyMap: one with entries is changed in place, and forgets what is taken out", () => {
  const map = withEntry<string, number>(emptyMap(), "a", 1);
  assert.equal(withEntry(map, "b", 2), map);
  assert.equal(withoutEntry(map, "c"), map);
  assert.equal(withoutEntry(map, "a"), map);
  assert.deepEqual([...map], [["b", 2]]);
});

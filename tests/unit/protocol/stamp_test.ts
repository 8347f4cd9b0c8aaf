import assert from "node:assert/strict";
import * as fc from "fast-check";
import { stamp } from "../../../supabase/functions/_shared/protocol/stamp.ts";

/** The last that a `Date` can hold, in milliseconds. */
const LAST_MS = 8.64e15;

const time = fc.oneof(
  fc.integer({ min: 1_700_000_000_000, max: 1_700_000_003_000 }),
  fc.double({ min: -LAST_MS, max: LAST_MS, noNaN: true }),
  fc.constantFrom(0, -0.5, -1, 999, 1000, 59_999.9, LAST_MS, -LAST_MS),
);

Deno.test("stamp: as toISOString, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(time, { minLength: 1 }), (times) => {
      for (const at of times) assert.equal(stamp(at), new Date(at).toISOString());
    }),
    { numRuns: 500 },
  );
});

Deno.test("stamp: what is no time is refused, and changes nothing", () => {
  const before = stamp(1_700_000_000_123);
  for (const at of [NaN, Infinity, LAST_MS + 1000]) assert.throws(() => stamp(at), RangeError);
  assert.equal(stamp(1_700_000_000_123), before);
});

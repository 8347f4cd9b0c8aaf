import assert from "node:assert/strict";
import { takeOverTimes } from "../../chaos/take_over.ts";

Deno.test("takeOverTimes: from the kill to the first character of the next call for the same question", () => {
  const streams = [
    { question: "a", firstAt: 10, lostAt: 1010 },
    { question: "b", firstAt: 20 },
    { question: "a", firstAt: 4100 },
  ];
  assert.deepEqual(takeOverTimes(streams, [1000], []), [3100]);
});

Deno.test("takeOverTimes: a call that was lost without a kill, before its first character, or for good does not count", () => {
  assert.deepEqual(
    takeOverTimes(
      [{ question: "a", firstAt: 10, lostAt: 900 }, { question: "a", firstAt: 2000 }],
      [1000],
      [],
    ),
    [],
  );
  assert.deepEqual(
    takeOverTimes([{ question: "a", lostAt: 1010 }, { question: "a", firstAt: 2000 }], [1000], []),
    [],
  );
  assert.deepEqual(takeOverTimes([{ question: "a", firstAt: 10, lostAt: 1010 }], [1000], []), []);
});

Deno.test("takeOverTimes: nor does one that something else came between, or whose next call failed", () => {
  const streams = [{ question: "a", firstAt: 10, lostAt: 1010 }, { question: "a", firstAt: 4100 }];
  assert.deepEqual(takeOverTimes(streams, [1000], [{ from: 4000, to: 5000 }]), []);
  assert.deepEqual(takeOverTimes(streams, [1000, 2000], []), []);
  const [lost = { question: "a" }, next = { question: "a" }] = streams;
  assert.deepEqual(takeOverTimes([lost, { question: "a" }], [1000], []), []);
  assert.deepEqual(takeOverTimes([lost, { question: "a" }, next], [1000], []), []);
});

import assert from "node:assert/strict";
import { arrivals, type TakeOverInput, takeOvers } from "../../chaos/take_over.ts";

/** The times, if a client is back 100 ms after each kill. */
function timesOf(
  streams: TakeOverInput["streams"],
  killedAt: readonly number[],
  troubles: TakeOverInput["troubles"],
): number[] {
  const cameAt = (): number[] => killedAt.map((at) => at + 100);
  return takeOvers({ streams, killedAt, troubles, cameAt }).times;
}

Deno.test("takeOvers: from the kill to the first character of the next call for the same question", () => {
  const streams = [
    { question: "a", firstAt: 10, lostAt: 1010 },
    { question: "b", firstAt: 20 },
    { question: "a", firstAt: 4100 },
  ];
  assert.deepEqual(timesOf(streams, [1000], []), [3100]);
});

Deno.test("takeOvers: a call that was lost without a kill, before its first character, or for good does not count", () => {
  assert.deepEqual(
    timesOf(
      [{ question: "a", firstAt: 10, lostAt: 900 }, { question: "a", firstAt: 2000 }],
      [1000],
      [],
    ),
    [],
  );
  assert.deepEqual(
    timesOf([{ question: "a", lostAt: 1010 }, { question: "a", firstAt: 2000 }], [1000], []),
    [],
  );
  assert.deepEqual(timesOf([{ question: "a", firstAt: 10, lostAt: 1010 }], [1000], []), []);
});

Deno.test("takeOvers: nor does one that something else came between, or whose next call failed", () => {
  const streams = [{ question: "a", firstAt: 10, lostAt: 1010 }, { question: "a", firstAt: 4100 }];
  assert.deepEqual(timesOf(streams, [1000], [{ from: 4000, to: 5000 }]), []);
  assert.deepEqual(timesOf(streams, [1000, 2000], []), []);
  const [lost = { question: "a" }, next = { question: "a" }] = streams;
  assert.deepEqual(timesOf([lost, { question: "a" }], [1000], []), []);
  assert.deepEqual(timesOf([lost, { question: "a" }, next], [1000], []), []);
});

Deno.test("takeOvers: an answer whose client is away for longer than the lease is counted apart", () => {
  const streams = [{ question: "a", firstAt: 10, lostAt: 1010 }, { question: "a", firstAt: 9000 }];
  const timesWhen = (...came: number[]): unknown =>
    takeOvers({ streams, killedAt: [1000], troubles: [], cameAt: () => came });
  assert.deepEqual(timesWhen(900, 8000), { times: [], waited: 1 });
  assert.deepEqual(timesWhen(900, 3900), { times: [8000], waited: 0 });
});

Deno.test("arrivals: of all tabs of the question's conversation", () => {
  const conversation = {
    queries: [{ question: "a" }, { question: "b" }],
    tabs: [{ visits: [{ at: 5 }, { at: 7 }] }, { visits: [{ at: 6 }] }],
  };
  const cameAt = arrivals([conversation as never], 1000);
  assert.deepEqual(cameAt("b"), [1005, 1007, 1006]);
  assert.deepEqual(cameAt("c"), []);
});

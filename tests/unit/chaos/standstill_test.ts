import assert from "node:assert/strict";
import { longestStandstillMs } from "../../chaos/standstill.ts";

/** A conversation of turns, each with the times of its query and its end. */
function conversation(
  ...turns: [sentAt: number, endedAt?: number][]
): Parameters<typeof longestStandstillMs>[0][number] {
  return {
    queries: turns.map(([sentAt, endedAt], index) => ({
      id: String(index),
      question: "?",
      sentAt,
      ...(endedAt !== undefined && { endedAt }),
    })),
  };
}

Deno.test("longestStandstillMs: the longest time between two ends while a turn was open, over all conversations", () => {
  const one = conversation([0, 10], [20, 400]);
  const other = conversation([5, 250]);
  assert.equal(longestStandstillMs([one, other], []), 240);
});

Deno.test("longestStandstillMs: time in which nobody asked, and outages of the database, do not count", () => {
  assert.equal(longestStandstillMs([conversation([0, 10], [1000, 1010])], []), 0);
  const stuck = conversation([0, 10], [5, 1000]);
  assert.equal(longestStandstillMs([stuck], []), 990);
  assert.equal(longestStandstillMs([stuck], [{ from: 100, to: 700 }]), 300);
  assert.equal(longestStandstillMs([stuck], [{ from: 0, to: 2000 }]), 0);
});

Deno.test("longestStandstillMs: a turn without an end is the checker's, and one that was refused is none", () => {
  assert.equal(longestStandstillMs([conversation([0], [5, 10])], []), 0);
});

import assert from "node:assert/strict";
import { type Leave, RefusalLimit } from "../../../supabase/functions/_shared/platform/refusal_limit.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

const MINUTE_MS = 60_000;

/** Asks for admission, which must be granted. */
async function granted(limit: RefusalLimit, address: string): Promise<(isRefusal: boolean) => void> {
  const leave = await limit.ask(address);
  assert.ok("settle" in leave);
  return leave.settle;
}

Deno.test("twenty refusals of an address in a minute, and it is told when the minute is over", async () => {
  const clock = new ManualClock();
  const limit = new RefusalLimit(clock);
  for (let index = 0; index < 20; index++) (await granted(limit, "a"))(true);
  clock.advance(15_000);
  assert.deepEqual(await limit.ask("a"), { retryAfterMs: 45_000 });
  (await granted(limit, "b"))(true);
  clock.advance(44_999);
  assert.deepEqual(await limit.ask("a"), { retryAfterMs: 1 });
  clock.advance(1);
  (await granted(limit, "a"))(true);
});

Deno.test("answers that are no refusals are not limited", async () => {
  const limit = new RefusalLimit(new ManualClock());
  for (let index = 0; index < 100; index++) (await granted(limit, "a"))(false);
});

Deno.test("what is under way may still be refused: those who come meanwhile wait, and are answered by what it comes to", async () => {
  const clock = new ManualClock();
  const limit = new RefusalLimit(clock);
  const settles = await Promise.all(Array.from({ length: 20 }, () => granted(limit, "a")));
  const answers: Leave[] = [];
  for (let index = 0; index < 3; index++) void limit.ask("a").then((leave) => answers.push(leave));
  await granted(limit, "b");
  await settle();
  assert.equal(answers.length, 0);
  // One success lets one of them proceed.
  settles.pop()?.(false);
  await settle();
  assert.equal(answers.length, 1);
  for (const answer of settles) answer(true);
  const [first] = answers;
  assert.ok(first !== undefined && "settle" in first);
  await settle();
  assert.equal(answers.length, 1);
  first.settle(true);
  await settle();
  assert.deepEqual(answers.slice(1), [{ retryAfterMs: MINUTE_MS }, { retryAfterMs: MINUTE_MS }]);
});

Deno.test("ten thousand addresses are remembered, the newest", async () => {
  const limit = new RefusalLimit(new ManualClock());
  for (let index = 0; index < 20; index++) (await granted(limit, "first"))(true);
  for (let index = 0; index < 9999; index++) (await granted(limit, `other ${index}`))(true);
  assert.ok("retryAfterMs" in await limit.ask("first"));
  await granted(limit, "one more");
  await granted(limit, "first");
});

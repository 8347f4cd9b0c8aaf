import assert from "node:assert/strict";
import * as fc from "fast-check";
import { RateLimiter } from "../../../supabase/functions/_shared/guard/rate_limiter.ts";
import { TokenBudget } from "../../../supabase/functions/_shared/guard/token_budget.ts";
import { ManualClock } from "../../support/manual_clock.ts";

Deno.test("[LM1] RateLimiter: never more than the burst plus what came back in the time", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 200 }), (pauses) => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock, { perMinute: 60, burst: 5 });
    const start = clock.now();
    let allowed = 0;
    for (const pause of pauses) {
      clock.advance(pause);
      if (limiter.take(["ann"]).allowed) allowed++;
      assert.ok(allowed <= 5 + (clock.now() - start) / 1000 + 1e-6);
    }
  }));
});

Deno.test("[LM1] RateLimiter: after retry_after_ms one more is allowed, and not before", () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter(clock, { perMinute: 7, burst: 1 });
  limiter.take(["ann"]);
  const refused = limiter.take(["ann"]);
  assert.ok(!refused.allowed);
  clock.advance(refused.retryAfterMs - 2);
  assert.ok(!limiter.take(["ann"]).allowed);
  clock.advance(2);
  assert.ok(limiter.take(["ann"]).allowed);
});

Deno.test("[LM1] RateLimiter: a refusal by one key costs the others nothing", () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter(clock, { perMinute: 60, burst: 1 });
  assert.ok(limiter.take(["session:1", "address:a"]).allowed);
  assert.ok(!limiter.take(["session:2", "address:a"]).allowed);
  assert.ok(limiter.take(["session:2", "address:b"]).allowed);
});

Deno.test("[LM1] RateLimiter: a clock that goes back takes nothing away for good", () => {
  let now = 1_000_000;
  const clock = { now: () => now, after: () => () => {} };
  const limiter = new RateLimiter(clock, { perMinute: 60, burst: 1 });
  assert.ok(limiter.take(["ann"]).allowed);
  now -= 500_000;
  assert.ok(!limiter.take(["ann"]).allowed);
  now += 1000;
  assert.ok(limiter.take(["ann"]).allowed);
});

Deno.test("[LM5] TokenBudget: counted by key and day", () => {
  const clock = new ManualClock(Date.UTC(2026, 10, 21, 23, 0));
  const budget = new TokenBudget(clock, 100);
  budget.spend(["ann", "here"], 60);
  budget.spend(["bob", "here"], 39);
  assert.equal(budget.exhausted(["here"]), undefined);
  budget.spend(["bob", "here"], 1);
  assert.equal(budget.exhausted(["ann"]), undefined);
  assert.equal(budget.exhausted(["new", "here"]), 3_600_000);
  clock.advance(3_600_000);
  assert.equal(budget.exhausted(["here"]), undefined);
});

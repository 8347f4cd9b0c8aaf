import assert from "node:assert/strict";
import * as fc from "fast-check";
import { RateLimiter } from "../../../supabase/functions/_shared/guard/rate_limiter.ts";
import { Slots } from "../../../supabase/functions/_shared/guard/slots.ts";
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

Deno.test("[LM1] [LM11] RateLimiter: what was promised holds for one frame, however much others are said to have taken", () => {
  fc.assert(fc.property(
    fc.array(
      fc.record({ pause: fc.integer({ min: 0, max: 3000 }), left: fc.integer({ min: -30, max: 20 }) }),
      {
        maxLength: 60,
      },
    ),
    (reports) => {
      const clock = new ManualClock();
      const limiter = new RateLimiter(clock, { perMinute: 60, burst: 3 });
      for (const { pause, left } of reports) {
        clock.advance(pause);
        limiter.lower("ann", left);
        const refused = limiter.take(["ann", "here"]);
        if (refused.allowed) continue;
        clock.advance(Math.floor(refused.retryAfterMs / 2));
        limiter.lower("ann", left);
        clock.advance(Math.ceil(refused.retryAfterMs / 2));
        assert.ok(limiter.take(["ann", "here"]).allowed);
      }
    },
  ));
});

Deno.test("[LM1] RateLimiter: what was left when the ledger was asked has refilled since", () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter(clock, { perMinute: 60, burst: 3 });
  const askedAt = clock.now();
  clock.advance(400);
  limiter.lower("ann", 0, askedAt);
  const refused = limiter.take(["ann"]);
  assert.ok(!refused.allowed && refused.retryAfterMs === 600);
});

Deno.test("[LM1] RateLimiter: a promise is no second bucket", () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter(clock, { perMinute: 60, burst: 3 });
  let allowed = 0;
  for (let second = 0; second < 120; second++) {
    limiter.lower("ann", -100);
    if (limiter.take(["ann"]).allowed) allowed++;
    clock.advance(1000);
  }
  assert.ok(allowed <= 2, `${allowed} of 120 while others use it all`);
});

Deno.test("[LM1] RateLimiter: check says what take would, and takes nothing", () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter(clock, { perMinute: 60, burst: 1 });
  for (let n = 0; n < 5; n++) assert.ok(limiter.check("ann").allowed);
  limiter.take(["ann"]);
  assert.deepEqual(limiter.check("ann"), limiter.take(["ann"]));
});

Deno.test("[LM1] RateLimiter: a caller with any number of keys does not fill the memory", () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter(clock, { perMinute: 1, burst: 100 });
  for (let n = 0; n < 250_000; n++) limiter.take([`address:${n}`]);
  assert.ok(limiter.size <= 200_001, String(limiter.size));
});

Deno.test("[LM3] Slots: the count of a key is the number of slots that were not released", () => {
  fc.assert(fc.property(fc.array(fc.nat({ max: 9 })), (releases) => {
    const slots = new Slots();
    const held = Array.from({ length: 10 }, () => slots.take("ann", 7));
    assert.equal(held.filter((slot) => slot !== undefined).length, 7);
    for (const index of releases) held[index]?.release();
    const released = new Set(releases.filter((index) => index < 7)).size;
    assert.equal(slots.count("ann"), 7 - released);
    assert.equal([...slots.keys].length, released === 7 ? 0 : 1, "nothing is kept of who holds none");
  }));
});

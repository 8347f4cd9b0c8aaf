import assert from "node:assert/strict";
import { RateMeter } from "../../../../local/realtime/rate_meter.ts";
import { ManualClock } from "../../../support/manual_clock.ts";

Deno.test("RateMeter takes the average of all its spans, and forgets the oldest", () => {
  const clock = new ManualClock();
  const meter = new RateMeter(clock, { spans: 12, spanMs: 5000 });
  assert.equal(meter.perSecond(), 0);
  meter.add(120);
  assert.equal(meter.perSecond(), 2);
  clock.advance(55_000);
  meter.add(60);
  assert.equal(meter.perSecond(), 3);
  clock.advance(5000);
  assert.equal(meter.perSecond(), 1);
  clock.advance(10 * 5000);
  assert.equal(meter.perSecond(), 1);
  clock.advance(5000);
  assert.equal(meter.perSecond(), 0);
});

Deno.test("RateMeter is empty after a long silence, and survives a clock that goes back", () => {
  const clock = new ManualClock();
  const meter = new RateMeter(clock, { spans: 10, spanMs: 100 });
  meter.add(5);
  clock.advance(86_400_000);
  assert.equal(meter.perSecond(), 0);
  meter.add(1);
  clock.advance(-60_000);
  meter.add(1);
  assert.equal(meter.perSecond(), 2);
});

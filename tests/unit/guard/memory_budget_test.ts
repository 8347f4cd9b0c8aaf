import assert from "node:assert/strict";
import {
  KeptEntries,
  MemoryBudget,
  OVERHEAD_BYTES,
  SessionMemory,
} from "../../../supabase/functions/_shared/guard/memory_budget.ts";

Deno.test("[MB1] MemoryBudget: what an owner keeps is counted, and given back in one step", () => {
  const budget = new MemoryBudget(0);
  const one = budget.account(100);
  const other = budget.account(10);
  const part = one.part();
  one.add(5);
  part.set(50);
  part.set(30);
  other.add(-3);
  assert.deepEqual([one.bytes, part.bytes, other.bytes, budget.keptBytes], [135, 30, 7, 142]);
  one.close();
  one.close();
  assert.deepEqual([one.bytes, budget.keptBytes], [0, 7]);
  one.add(1000);
  part.set(1000);
  one.part().add(1000);
  assert.equal(budget.keptBytes, 7, "what comes after the end is nobody's");
});

Deno.test("[MB2] MemoryBudget: the last sixteenth is for what exists, and nothing goes over the limit unseen", () => {
  const budget = new MemoryBudget(1600);
  let over = 0;
  budget.onOver = () => over++;
  const account = budget.account(1400);
  assert.deepEqual([budget.hasRoomFor(100), budget.hasRoomFor(101), budget.excessBytes], [true, false, -100]);
  assert.deepEqual([budget.admit(200), over], [true, 0]);
  assert.deepEqual([budget.admit(201), over], [false, 1]);
  account.add(200);
  assert.deepEqual([budget.excessBytes, over], [100, 1]);
  account.add(1);
  assert.equal(over, 2);
  account.add(-1000);
  assert.equal(over, 2);
});

Deno.test("[MB2] MemoryBudget: what is on its way out is not made to go twice", () => {
  const budget = new MemoryBudget(1600);
  const going = budget.account(500);
  going.part().add(100);
  budget.account(1000);
  assert.equal(budget.excessBytes, 100);
  going.leave();
  going.leave();
  going.add(7);
  assert.deepEqual([budget.keptBytes, budget.excessBytes], [1607, -500]);
  going.close();
  assert.deepEqual([budget.keptBytes, budget.excessBytes], [1000, -500]);
});

Deno.test("[MB1] KeptEntries: a text counts twice its length, unless it is counted elsewhere", () => {
  const budget = new MemoryBudget(0);
  const entries = new KeptEntries(budget.account(0), 100);
  entries.add(30);
  entries.add(5);
  assert.equal(budget.keptBytes, 270);
  entries.drop(30);
  assert.equal(budget.keptBytes, 110);
  new KeptEntries(budget.account(0), 100, false).add(30);
  assert.equal(budget.keptBytes, 210);
});

Deno.test("[MB1] SessionMemory: an answer counts as what is expected of it until it is there", () => {
  const budget = new MemoryBudget(0);
  const memory = new SessionMemory(budget, { isLogHere: false });
  const empty = {
    messages: 0,
    messageChars: 0,
    notes: 0,
    noteChars: 0,
    queries: 0,
    queryChars: 0,
    thoughtChars: 0,
    unloggedChars: 0,
  };
  memory.set(empty, 100);
  assert.equal(budget.keptBytes, OVERHEAD_BYTES.session + 800);
  memory.set(empty, 1_000_000);
  assert.equal(budget.keptBytes, OVERHEAD_BYTES.session + 2 * 16_384);
  memory.set(empty, 0);
  assert.equal(budget.keptBytes, OVERHEAD_BYTES.session);
  memory.close();
  memory.set(empty, 100);
  assert.equal(budget.keptBytes, 0);
});

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import {
  GroupCommit,
  LOCKED,
  type Pending,
} from "../../../supabase/functions/_shared/platform/group_commit.ts";
import { RefusedCall } from "../../../supabase/functions/_shared/platform/store_rpc.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

interface Call {
  writes: string[];
  withinMs: number;
  answer: PromiseWithResolvers<readonly (string | typeof LOCKED)[]>;
}

interface Opened {
  clock: ManualClock;
  calls: Call[];
  commit(write: string, sessionId?: string): Promise<string>;
}

function open(limits: { maxBatch?: number; maxBatchChars?: number; maxWaitingChars?: number } = {}): Opened {
  const clock = new ManualClock();
  const calls: Call[] = [];
  const group = new GroupCommit<string, string>({
    clock,
    send: (batch: readonly Pending<string>[], withinMs) => {
      const answer = Promise.withResolvers<readonly (string | typeof LOCKED)[]>();
      calls.push({ writes: batch.map(({ write }) => write), withinMs, answer });
      return answer.promise;
    },
    withinMs: 15_000,
    maxBatch: 3,
    maxBatchChars: 100,
    maxWaitingChars: 1000,
    ...limits,
  });
  return {
    clock,
    calls,
    commit: (write, sessionId = write) => group.commit({ sessionId, write, chars: write.length }),
  };
}

const refusal = new RefusedCall("agent_commit", { code: "23505", status: 409, message: "twice" });
const away = new AgentError("store_unavailable", "away", { retryable: true });

/** Answers the newest call: each write in upper case, except those that are `locked`. */
async function answer({ calls }: Opened, locked: readonly string[] = []): Promise<void> {
  const call = calls.at(-1);
  call?.answer.resolve(call.writes.map((write) => locked.includes(write) ? LOCKED : write.toUpperCase()));
  await settle();
}

async function outcomes(settled: Promise<PromiseSettledResult<string>[]>): Promise<string[]> {
  return (await settled).map((one) => one.status === "fulfilled" ? one.value : one.reason.code);
}

Deno.test("[DU5] what is written in one moment goes in one call, and the next batch gathers while it is on its way", async () => {
  const opened = open();
  const { calls, commit, clock } = opened;
  const first = [commit("a"), commit("b")];
  await settle();
  assert.deepEqual(calls.map(({ writes, withinMs }) => [writes, withinMs]), [[["a", "b"], 15_000]]);
  const later = ["c", "d", "e", "f"].map((write) => commit(write));
  await settle();
  clock.advance(4000);
  assert.equal(calls.length, 1);
  await answer(opened);
  assert.deepEqual(await Promise.all(first), ["A", "B"]);
  // A batch has exactly this many writes. The wait is part of their time limit.
  assert.deepEqual(calls.slice(1).map(({ writes, withinMs }) => [writes, withinMs]), [[
    ["c", "d", "e"],
    11_000,
  ]]);
  await answer(opened);
  await answer(opened);
  assert.deepEqual(await Promise.all(later), ["C", "D", "E", "F"]);
  assert.equal(calls.length, 3);
  const again = commit("g");
  await settle();
  await answer(opened);
  assert.equal(await again, "G");
  assert.equal(clock.pending, 0);
});

Deno.test("[DU5] a batch has so many characters and no more, but one write at least", async () => {
  const opened = open({ maxBatchChars: 5 });
  const all = ["aaaaaaaa", "bb", "ccc", "d"].map((write) => opened.commit(write));
  await settle();
  for (let n = 0; n < 3; n++) await answer(opened);
  await Promise.all(all);
  assert.deepEqual(opened.calls.map(({ writes }) => writes), [["aaaaaaaa"], ["bb", "ccc"], ["d"]]);
});

Deno.test("[DU5] past what may wait, writes are refused at once", async () => {
  const opened = open({ maxWaitingChars: 10 });
  const sent = opened.commit("a");
  await settle();
  const waiting = [opened.commit("b".repeat(20)), opened.commit("c")];
  await assert.rejects(() => waiting[1] ?? Promise.resolve(), { code: "store_unavailable", retryable: true });
  await answer(opened);
  await answer(opened);
  assert.deepEqual(await Promise.all([sent, waiting[0]]), ["A", "B".repeat(20)]);
  const next = opened.commit("d");
  await settle();
  await answer(opened);
  assert.equal(await next, "D");
});

Deno.test("[DU5] a call that is refused is made again write by write, in order, and only the culprit suffers", async () => {
  const opened = open();
  const settled = Promise.allSettled([
    opened.commit("a", "s"),
    opened.commit("b", "s"),
    opened.commit("c", "t"),
  ]);
  await settle();
  opened.calls[0]?.answer.reject(refusal);
  await settle();
  await answer(opened);
  opened.calls.at(-1)?.answer.reject(refusal);
  await settle();
  await answer(opened);
  const outcomes = (await settled).map((one) => one.status === "fulfilled" ? one.value : one.reason.code);
  assert.deepEqual(outcomes, ["A", "internal", "C"]);
  assert.deepEqual(opened.calls.map(({ writes }) => writes), [["a", "b", "c"], ["a"], ["b"], ["c"]]);
});

Deno.test("[DU5] what waits behind a write that was given up is given up too; other sessions go on", async () => {
  const opened = open();
  const first = Promise.allSettled([opened.commit("a", "s")]);
  await settle();
  const behind = Promise.allSettled([opened.commit("b", "s"), opened.commit("c", "t")]);
  opened.calls[0]?.answer.reject(away);
  await settle();
  await answer(opened);
  const code = (one: PromiseSettledResult<string>): string =>
    one.status === "fulfilled" ? one.value : one.reason.code;
  assert.deepEqual((await first).map(code), ["store_unavailable"]);
  assert.deepEqual((await behind).map(code), ["store_unavailable", "C"]);
  assert.deepEqual(opened.calls.map(({ writes }) => writes), [["a"], ["c"]]);
});

Deno.test("[DU5] of a batch that was refused, what comes after a write that was given up is given up too, and nothing overtakes the rest", async () => {
  const opened = open();
  const settled = Promise.allSettled([
    opened.commit("a", "s"),
    opened.commit("b", "s"),
    opened.commit("c", "t"),
  ]);
  await settle();
  // Written while the first call is in flight: it goes after the batch, whatever the result of the batch is.
  const later = Promise.allSettled([opened.commit("d", "t"), opened.commit("e", "s")]);
  opened.calls[0]?.answer.reject(refusal);
  await settle();
  opened.calls.at(-1)?.answer.reject(away);
  await settle();
  await answer(opened);
  await answer(opened);
  assert.deepEqual(await outcomes(settled), ["store_unavailable", "store_unavailable", "C"]);
  assert.deepEqual(await outcomes(later), ["D", "store_unavailable"]);
  assert.deepEqual(opened.calls.map(({ writes }) => writes), [["a", "b", "c"], ["a"], ["c"], ["d"]]);
});

Deno.test("[DU5] [SQ1] a session that is locked waits by itself, in order, and is tried again; the others go on", async () => {
  const opened = open();
  const { clock, calls, commit } = opened;
  const ofS = Promise.allSettled([commit("a", "s"), commit("b", "s")]);
  const ofT = Promise.allSettled([commit("c", "t")]);
  await settle();
  const behind = Promise.allSettled([commit("d", "s"), commit("e", "t")]);
  await answer(opened, ["a", "b"]);
  assert.deepEqual(await outcomes(ofT), ["C"]);
  await answer(opened);
  const last = Promise.allSettled([commit("f", "s")]);
  await settle();
  assert.deepEqual(calls.map(({ writes }) => writes), [["a", "b", "c"], ["e"]]);
  clock.advance(100);
  await settle();
  assert.deepEqual(calls.at(-1)?.writes, ["a", "b", "d"]);
  await answer(opened, ["b", "d"]);
  await settle();
  // The write behind them waits as well, and is tried after twice the time.
  assert.equal(calls.length, 3);
  clock.advance(199);
  await settle();
  clock.advance(1);
  await settle();
  assert.deepEqual(calls.at(-1)?.writes, ["b", "d", "f"]);
  await answer(opened);
  assert.deepEqual([...await outcomes(ofS), ...await outcomes(behind), ...await outcomes(last)], [
    "A",
    "B",
    "D",
    "E",
    "F",
  ]);
  assert.equal(clock.pending, 0);
});

Deno.test("[DU5] a session that stays locked is given up when the time of its first write is over, with all that waits behind it", async () => {
  const opened = open({ maxWaitingChars: 3 });
  const { clock, calls, commit } = opened;
  const settled = Promise.allSettled([commit("a", "s")]);
  await settle();
  await answer(opened, ["a"]);
  const behind = Promise.allSettled([commit("b", "s")]);
  for (let ms = 0; ms < 15_000; ms += 50) {
    const before = calls.length;
    clock.advance(50);
    await settle(1);
    if (calls.length > before) await answer(opened, ["a", "b"]);
  }
  assert.deepEqual([...await outcomes(settled), ...await outcomes(behind)], [
    "store_unavailable",
    "store_unavailable",
  ]);
  assert.ok(calls.length > 10 && calls.length < 25, `${calls.length}`);
  assert.equal(clock.pending, 0);
  // The writes that waited are no longer counted.
  const again = ["x", "y", "z"].map((write) => commit(write));
  await settle();
  await answer(opened);
  assert.deepEqual(await Promise.all(again), ["X", "Y", "Z"]);
});

/**
 * Steps that can happen to a {@linkcode World}, generated and shrunk by fast-check, and the checks that must hold after
 * them.
 */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { isTerminal } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { HEAD_POLL_MS } from "../../supabase/functions/_shared/session/head_poller.ts";
import { type Step, World } from "./session_world.ts";
import { LEASE_MS } from "./workers.ts";

/**
 * Everything must be at rest this long after all faults have ended. It covers a lease that must expire, a claim that is
 * retried, and the answers.
 */
const REST_WITHIN_MS = LEASE_MS + 6000;

const seat = fc.nat(2);
const worker = fc.nat(2);
const id = fc.constantFrom("a", "b", "c", "d", "e");

/** Generates steps of one kind. */
function kind<D extends Step["do"]>(
  name: D,
  fields: { [K in Exclude<keyof Extract<Step, { do: D }>, "do">]: fc.Arbitrary<Extract<Step, { do: D }>[K]> },
): fc.Arbitrary<Step> {
  return fc.record({ do: fc.constant(name), ...fields }) as unknown as fc.Arbitrary<Step>;
}

const policy = fc.constantFrom("queue", "queue", "reject", "interrupt", "latest");
const ms = fc.constantFrom(1, 20, 600, 3000, LEASE_MS + 100);
const way = fc.oneof(
  fc.record({ isCutOff: fc.boolean() }),
  fc.record({ losesAnswers: fc.boolean() }),
  fc.record({ latencyMs: fc.constantFrom(0, 10, 700) }),
  fc.record({ lateWrites: fc.integer({ min: 1, max: 3 }), lateByMs: fc.constantFrom(1, 300, 2000) }),
);
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: kind("ask", { seat, id, policy, priority: fc.constantFrom("high", "normal", "low") }),
    },
    { weight: 1, arbitrary: kind("ask everywhere", { id }) },
    { weight: 5, arbitrary: kind("say", { worker, text: fc.constantFrom("x", "yy ", "é\ud83d\ude00") }) },
    { weight: 4, arbitrary: kind("finish", { worker }) },
    { weight: 2, arbitrary: kind("cancel", { seat, all: fc.boolean() }) },
    { weight: 1, arbitrary: kind("clear", { seat }) },
    { weight: 3, arbitrary: kind("move", { seat, worker, resends: fc.boolean() }) },
    { weight: 2, arbitrary: kind("kill", { worker }) },
    { weight: 7, arbitrary: kind("way", { worker, way }) },
    { weight: 1, arbitrary: kind("drain", { worker }) },
    {
      weight: 2,
      arbitrary: kind("relay", {
        mode: fc.constantFrom("up", "down", "slow", "lossy", "doubling", "shuffling"),
      }),
    },
    { weight: 6, arbitrary: kind("advance", { ms }) },
  ),
  { maxLength: 50, size: "max" },
);

/** Plays the steps, waits until everything is at rest, and checks what each seat received. */
export async function play(taken: readonly Step[]): Promise<void> {
  const world = await World.open();
  for (const each of taken) await world.take(each);
  const restedMs = await world.heal();
  checkSeats(world, await checkLog(world));
  // Events appended by a late write of a dead worker are found only by polling the head.
  const withinMs = REST_WITHIN_MS + (world.workers.leavesLateWrites ? HEAD_POLL_MS : 0);
  assert.ok(restedMs <= withinMs, `at rest only after ${restedMs} ms`);
}

async function checkLog(world: World): Promise<number> {
  const { events } = await world.log();
  events.forEach(({ seq }, index) => assert.equal(seq, index + 1, "without holes"));
  const questions = events.flatMap((event) => event.kind === "query" ? [event.queryId] : []);
  const ends = events.filter(isTerminal).map(({ queryId }) => queryId);
  assert.deepEqual(ends.toSorted(), questions.toSorted(), "each query has exactly one terminal event");
  assert.equal(new Set(questions).size, questions.length, "each id occurs once");
  return events.length;
}

function checkSeats({ seats }: World, lastSeq: number): void {
  for (const { shown, readings, cursor, at } of seats) {
    const seqs = shown.map(({ seq }) => seq);
    assert.deepEqual(seqs, [...new Set(seqs)].toSorted((a, b) => a - b), "in order, without repeats");
    assert.equal(cursor, lastSeq, `caught up: ${at.name} ${JSON.stringify(at.logged.slice(-6))}`);
    assert.deepEqual(
      readings.flatMap(({ faults }) => faults),
      [],
      "protocol faults that a plain client finds",
    );
  }
  const [one, ...others] = seats.map(({ shown }) => new Map(shown.map(({ seq, what }) => [seq, what])));
  for (const other of others) {
    for (const [seq, what] of other) {
      const same = one?.get(seq);
      assert.ok(same === undefined || same === what, `the same event for all seats: ${same} and ${what}`);
    }
  }
}

import assert from "node:assert/strict";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type { LogEntry } from "../../supabase/functions/_shared/ports/runtime.ts";
import {
  LOOK_AGAIN_MS,
  type Probed,
  SECOND_LOOK_MS,
  SETTLED_AFTER_MS,
  StoreChoice,
} from "../../supabase/functions/_shared/store_choice.ts";
import { ManualClock, settle } from "../support/manual_clock.ts";

type Found = "postgres" | "missing" | AgentError;

interface TestChoice {
  choice: StoreChoice<Probed>;
  clock: ManualClock;
  durable: Probed | undefined;
  logged: LogEntry[];
  probes: () => number;
}

/** A choice whose database answers each probe with the next of `finds`. */
function choiceOf(mode: "auto" | "postgres" | "memory", finds: readonly Found[] | "no project"): TestChoice {
  const logged: LogEntry[] = [];
  const clock = new ManualClock();
  let probes = 0;
  const durable = finds === "no project" ? undefined : {
    probe(): Promise<"postgres" | "missing"> {
      const found = finds[probes++] ?? assert.fail("probed too often");
      return found instanceof AgentError ? Promise.reject(found) : Promise.resolve(found);
    },
  };
  const choice = new StoreChoice<Probed>({
    mode,
    clock,
    durable,
    log: { write: (entry) => void logged.push(entry) },
  });
  return { choice, clock, durable, logged, probes: () => probes };
}

/** The result of `asked`, after the pause between the first two probes. */
async function afterSecondLook<T>(clock: ManualClock, asked: Promise<T>): Promise<T> {
  asked.catch(() => {});
  await settle();
  clock.advance(SECOND_LOOK_MS);
  return await asked;
}

/** A worker with the memory store, because the migration was missing at both of its first probes. */
async function inMemory(finds: readonly Found[]): Promise<TestChoice> {
  const opened = choiceOf("auto", ["missing", "missing", ...finds]);
  assert.equal(await afterSecondLook(opened.clock, opened.choice.choose()), undefined);
  return opened;
}

Deno.test("[DU7] StoreChoice: with the migration it is the database, asked once by all who come at once", async () => {
  for (const mode of ["auto", "postgres"] as const) {
    const { choice, durable, probes } = choiceOf(mode, ["postgres"]);
    assert.equal(choice.name, "unknown");
    const chosen = await Promise.all([choice.choose(), choice.chooseKnown(), choice.chooseNow()]);
    assert.deepEqual([...chosen, await choice.choose()], [durable, durable, durable, durable]);
    assert.deepEqual([choice.name, choice.durable, probes()], ["postgres", durable, 1]);
  }
});

Deno.test("StoreChoice: memory is chosen without a call where it is wanted, or there is no project", async () => {
  for (const { choice, logged } of [choiceOf("memory", []), choiceOf("auto", "no project")]) {
    assert.equal(choice.name, "memory");
    for (const chosen of [await choice.choose(), await choice.chooseNow(), await choice.chooseKnown()]) {
      assert.equal(chosen, undefined);
    }
    assert.deepEqual(logged, []);
  }
});

Deno.test("[DU7] StoreChoice: auto without the migration is memory after a second look, with one warning", async () => {
  const { choice, logged, probes } = await inMemory([]);
  assert.equal(await choice.choose(), undefined);
  assert.deepEqual([choice.name, probes()], ["memory", 2]);
  assert.deepEqual(logged.map(({ level, event }) => [level, event]), [["warn", "store_in_memory"]]);
});

Deno.test("[DU7] StoreChoice: one look that a stale schema cache answers is no reason for memory", async () => {
  for (const mode of ["auto", "postgres"] as const) {
    const { choice, clock, durable, logged } = choiceOf(mode, ["missing", "postgres"]);
    assert.equal(await afterSecondLook(clock, choice.choose()), durable);
    assert.deepEqual([choice.name, logged], ["postgres", []]);
  }
});

Deno.test("[DU7] StoreChoice: a worker in memory finds the database as soon as what is in it is asked for", async () => {
  for (const ask of ["chooseKnown", "chooseNow"] as const) {
    const { choice, durable, logged } = await inMemory(["postgres"]);
    assert.equal(await choice[ask](), durable);
    assert.equal(choice.name, "postgres");
    assert.deepEqual(logged.map(({ event }) => event), ["store_in_memory", "store_found"]);
  }
});

Deno.test("[DU7] StoreChoice: nothing is called unknown before the migration was missing for ten seconds", async () => {
  const { choice, clock, probes } = await inMemory(Array.from({ length: 9 }, () => "missing"));
  const unsettled = { code: "store_unavailable", retryable: true, retryAfterMs: 1000 };
  await assert.rejects(choice.chooseKnown(), unsettled);
  assert.equal(await choice.chooseNow(), undefined);
  clock.advance(SETTLED_AFTER_MS - 1);
  await assert.rejects(choice.chooseKnown(), unsettled);
  clock.advance(1);
  assert.equal(await choice.chooseKnown(), undefined);
  // Each of the calls has probed again.
  assert.equal(probes(), 2 + 4);
});

Deno.test("[DU7] StoreChoice: new sessions make a worker in memory look again, every five seconds at most", async () => {
  const down = new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
  const { choice, clock, durable, probes } = await inMemory(["missing", down, "postgres"]);
  const pass = async (ms: number): Promise<unknown> => {
    clock.advance(ms);
    return await choice.choose();
  };
  assert.equal(await pass(LOOK_AGAIN_MS - 1), undefined);
  assert.equal(probes(), 2);
  assert.equal(await pass(1), undefined);
  assert.equal(probes(), 3);
  // A database that does not answer does not stop sessions in memory, and not every new session probes it.
  assert.equal(await pass(LOOK_AGAIN_MS), undefined);
  assert.equal(await pass(1), undefined);
  assert.equal(probes(), 4);
  assert.equal(await pass(LOOK_AGAIN_MS), durable);
  assert.equal(clock.pending, 0);
});

Deno.test("[DU7] StoreChoice: postgres without the migration is refused until it is there", async () => {
  const { choice, clock, durable, logged } = choiceOf("postgres", ["missing", "missing", "postgres"]);
  await assert.rejects(afterSecondLook(clock, choice.choose()), {
    code: "store_unavailable",
    retryable: true,
    retryAfterMs: 30_000,
  });
  assert.deepEqual([choice.name, logged.map(({ event }) => event)], ["unknown", ["store_missing"]]);
  assert.equal(await choice.choose(), durable);
});

Deno.test("StoreChoice: a database that does not answer is no reason for memory", async () => {
  const down = new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
  const { choice, durable } = choiceOf("auto", [down, "postgres"]);
  await assert.rejects(choice.choose(), down);
  assert.equal(choice.name, "unknown");
  assert.equal(await choice.choose(), durable);
  // Nor is it a reason to report a session as unknown.
  const later = await inMemory([down]);
  await assert.rejects(later.choice.chooseKnown(), down);
});

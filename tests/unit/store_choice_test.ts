import assert from "node:assert/strict";
import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type { LogEntry } from "../../supabase/functions/_shared/ports.ts";
import { type Probed, StoreChoice } from "../../supabase/functions/_shared/store_choice.ts";

type Found = "postgres" | "missing" | AgentError;

interface TestChoice {
  choice: StoreChoice<Probed>;
  durable: Probed | undefined;
  logged: LogEntry[];
  probes: () => number;
}

/** A choice whose database answers each probe with the next of `finds`. */
function choiceOf(mode: "auto" | "postgres" | "memory", finds: readonly Found[] | "no project"): TestChoice {
  const logged: LogEntry[] = [];
  let probes = 0;
  const durable = finds === "no project" ? undefined : {
    probe(): Promise<"postgres" | "missing"> {
      const found = finds[probes++] ?? assert.fail("probed too often");
      return found instanceof AgentError ? Promise.reject(found) : Promise.resolve(found);
    },
  };
  const choice = new StoreChoice<Probed>({
    mode,
    durable,
    log: { write: (entry) => void logged.push(entry) },
  });
  return { choice, durable, logged, probes: () => probes };
}

Deno.test("[DU7] StoreChoice: with the migration it is the database, asked once by all who come at once", async () => {
  for (const mode of ["auto", "postgres"] as const) {
    const { choice, durable, probes } = choiceOf(mode, ["postgres"]);
    assert.equal(choice.name, "unknown");
    const chosen = await Promise.all([choice.choose(), choice.choose()]);
    assert.deepEqual([...chosen, await choice.choose()], [durable, durable, durable]);
    assert.deepEqual([choice.name, choice.durable, probes()], ["postgres", durable, 1]);
  }
});

Deno.test("StoreChoice: memory is chosen without a call where it is wanted, or there is no project", async () => {
  for (const { choice, logged } of [choiceOf("memory", []), choiceOf("auto", "no project")]) {
    assert.equal(choice.name, "memory");
    assert.equal(await choice.choose(), undefined);
    assert.deepEqual(logged, []);
  }
});

Deno.test("[DU7] StoreChoice: auto without the migration is memory, with one warning", async () => {
  const { choice, logged } = choiceOf("auto", ["missing"]);
  assert.equal(await choice.choose(), undefined);
  assert.equal(await choice.choose(), undefined);
  assert.equal(choice.name, "memory");
  assert.deepEqual(logged.map(({ level, event }) => [level, event]), [["warn", "store_in_memory"]]);
});

Deno.test("[DU7] StoreChoice: postgres without the migration is refused until it is there", async () => {
  const { choice, durable, logged } = choiceOf("postgres", ["missing", "postgres"]);
  await assert.rejects(choice.choose(), { code: "store_unavailable", retryable: true, retryAfterMs: 30_000 });
  assert.deepEqual([choice.name, logged.map(({ event }) => event)], ["unknown", ["store_missing"]]);
  assert.equal(await choice.choose(), durable);
});

Deno.test("StoreChoice: a database that does not answer is no reason for memory", async () => {
  const down = new AgentError("store_unavailable", "Cannot reach the store", { retryable: true });
  const { choice, durable } = choiceOf("auto", [down, "postgres"]);
  await assert.rejects(choice.choose(), down);
  assert.equal(choice.name, "unknown");
  assert.equal(await choice.choose(), durable);
});

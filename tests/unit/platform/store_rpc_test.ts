import assert from "node:assert/strict";
import type { StoreJs } from "../../../supabase/functions/_shared/platform/store_rpc.ts";
import { RefusedCall, StoreRpc } from "../../../supabase/functions/_shared/platform/store_rpc.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";

interface Answer {
  data?: unknown;
  error: { code?: string; message: string } | null;
  status: number;
}

/** The outcome of a call: an answer, or none until the caller gives up. */
type Outcome = Answer | "silence";

interface Opened {
  clock: ManualClock;
  calls: { name: string; args: unknown; at: number }[];
  loads: number;
  call(withinMs?: number): Promise<unknown>;
}

const ok = (data: unknown): Answer => ({ data, error: null, status: 200 });
const problem = (status: number, code = ""): Answer => ({ error: { code, message: "no" }, status });

function open(outcomes: Outcome[], load: () => void = () => {}): Opened {
  const clock = new ManualClock(0);
  const opened: Opened = {
    clock,
    calls: [],
    loads: 0,
    call: (withinMs = 15_000) => rpc.call("f", { p: 1 }, withinMs),
  };
  const rpc = new StoreRpc({
    supabaseUrl: "http://project",
    secretKey: "sb_secret_x",
    clock,
    attemptMs: 5000,
    random: () => 1,
    load: () => {
      opened.loads++;
      load();
      const client = {
        rpc: (name: string, args: unknown) => ({
          abortSignal: (signal: AbortSignal) => answer(name, args, signal),
        }),
      };
      return Promise.resolve({ createClient: () => client } as unknown as StoreJs);
    },
  });
  function answer(name: string, args: unknown, signal: AbortSignal): Promise<Answer> {
    opened.calls.push({ name, args, at: clock.now() });
    const outcome = outcomes.length > 1 ? outcomes.shift() : outcomes[0];
    if (outcome !== "silence" && outcome !== undefined) return Promise.resolve(outcome);
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(problem(0, "20"))));
  }
  return opened;
}

/** Advances time in small steps, and lets all resulting work finish. */
async function pass({ clock }: Opened, ms: number): Promise<void> {
  await settle();
  for (let step = 0; step < ms; step += 100) {
    clock.advance(100);
    await settle(1);
  }
}

Deno.test("[DU5] while nobody answers a call is made again, ever later, and is the same", async () => {
  const opened = open([problem(503), problem(0), problem(500, "40P01"), problem(400, "57014"), ok("done")]);
  const answer = opened.call();
  await pass(opened, 3000);
  assert.equal(await answer, "done");
  assert.deepEqual(opened.calls.map(({ at }) => at), [0, 100, 300, 700, 1500]);
  assert.ok(opened.calls.every(({ name, args }) => name === "f" && JSON.stringify(args) === '{"p":1}'));
  assert.equal(opened.loads, 1);
  assert.equal(opened.clock.pending, 0);
});

Deno.test("[DU5] an attempt has its time, and the call as well", async () => {
  const opened = open(["silence"]);
  const answer = assert.rejects(opened.call(), { code: "store_unavailable", retryable: true });
  await pass(opened, 17_000);
  await answer;
  assert.deepEqual(opened.calls.map(({ at }) => at), [0, 5100, 10_300]);
  assert.equal(opened.clock.now() - 15_000 >= 0, true);
  assert.equal(opened.clock.pending, 0);
});

Deno.test("[DU5] a call that comes late gets one attempt, of a second", async () => {
  const opened = open(["silence"]);
  const answer = assert.rejects(opened.call(-3000), { code: "store_unavailable" });
  await pass(opened, 1000);
  await answer;
  assert.equal(opened.calls.length, 1);
});

Deno.test("[DU5] what the database refuses it is not asked again", async () => {
  for (const refusal of [problem(409, "23505"), problem(400, "22P05"), problem(413)]) {
    const opened = open([refusal]);
    await assert.rejects(opened.call(), RefusedCall);
    assert.equal(opened.calls.length, 1);
  }
  for (const refusal of [problem(401), problem(403, "42501")]) {
    const opened = open([refusal]);
    await assert.rejects(opened.call(), { code: "store_unavailable", retryable: true });
    assert.equal(opened.calls.length, 1);
  }
});

Deno.test("[DU5] supabase-js that cannot be loaded is loaded again", async () => {
  let fails = 1;
  const opened = open([ok(1)], () => {
    if (fails-- > 0) throw new TypeError("no such module");
  });
  const answer = opened.call();
  await pass(opened, 200);
  assert.equal(await answer, 1);
  assert.equal(opened.loads, 2);
});

Deno.test("[DU5] a function that is unknown for a moment is asked for again: the schema cache of the REST API may be stale", async () => {
  const opened = open([problem(404, "PGRST202"), problem(404), problem(404, "42883"), ok("done")]);
  const answer = opened.call();
  await pass(opened, 1000);
  assert.equal(await answer, "done");
  assert.equal(opened.calls.length, 4);
});

/** Whatever clients, the provider and the workers do, in any order: a budget of N tokens holds by the provider's own count. */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { createOpenRouter } from "../../../supabase/functions/_shared/openrouter/open_router.ts";
import type { AttemptLedger, UsageAnswer } from "../../../supabase/functions/_shared/ports/usage.ts";
import { MemoryLedger } from "../../../supabase/functions/_shared/usage/memory_ledger.ts";
import type { TestClient } from "../../support/agent_harness.ts";
import { CountingProvider, type Refusal } from "../../support/counting_provider.ts";
import { settle } from "../../support/manual_clock.ts";
import { startWorkers, type TestWorker, type Workers } from "../../support/workers.ts";

const BUDGET = 400;
const MAX_TOKENS = 100;

type Step =
  | { do: "ask"; seat: number; chars: number; policy: "queue" | "interrupt" }
  | { do: "cancel"; seat: number }
  | { do: "say"; answer: number; tokens: number }
  | { do: "finish"; answer: number; reports: boolean }
  | { do: "cut"; answer: number }
  | { do: "refuse"; how: Refusal }
  | { do: "kill"; worker: number }
  | { do: "cut off"; worker: number; isCutOff: boolean }
  | { do: "ledger"; mode: LedgerMode }
  | { do: "pass"; ms: number };

type LedgerMode = "good" | "down" | "loses answers";

const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant("ask" as const),
        seat: fc.nat(2),
        chars: fc.integer({ min: 1, max: 300 }),
        policy: fc.constantFrom("queue" as const, "interrupt" as const),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("cancel" as const), seat: fc.nat(2) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant("say" as const),
        answer: fc.nat(3),
        tokens: fc.integer({ min: 1, max: 60 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("finish" as const), answer: fc.nat(3), reports: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), answer: fc.nat(3) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("refuse" as const),
        how: fc.constantFrom<Refusal>("no connection", "reset", 500, 429),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("kill" as const), worker: fc.nat(1) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("cut off" as const),
        worker: fc.nat(1),
        isCutOff: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("ledger" as const),
        mode: fc.constantFrom<LedgerMode>("good", "down", "loses answers"),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 8000 }) }),
    },
  ),
  { minLength: 20, maxLength: 80 },
);

/** Who pays: three connections of one user, or three visitors of one address. */
type Payer = "user" | "address";

class World {
  readonly workers: Workers = startWorkers();
  readonly provider = new CountingProvider();
  readonly #ledger = new MemoryLedger({
    clock: this.workers.clock,
    budget: { tokens: BUDGET, cost: 0 },
  });
  readonly #payer: Payer;
  readonly #pool: TestWorker[] = [];
  readonly #seats: { client: TestClient; at: TestWorker }[] = [];
  #mode: LedgerMode = "good";
  #names = 0;

  constructor(payer: Payer) {
    this.#payer = payer;
  }

  async open(): Promise<void> {
    for (let n = 0; n < 2; n++) this.#pool.push(this.#start());
    for (let n = 0; n < 3; n++) {
      const at = this.#worker(n);
      // Two of the user's connections are in one session.
      const resumed = n === 2 && this.#payer === "user" ? this.#seat(0).client.resumeQuery(0) : "";
      this.#seats.push({ client: await this.#connect(at, resumed), at });
    }
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "ask": {
        const { client } = this.#seat(step.seat);
        if (isIn(client)) client.ask("x".repeat(step.chars), { policy: step.policy });
        break;
      }
      case "cancel": {
        const { client } = this.#seat(step.seat);
        if (isIn(client)) client.command("cancel", { all: true });
        break;
      }
      case "say":
        this.#answer(step.answer)?.say(step.tokens);
        break;
      case "finish":
        this.#answer(step.answer)?.finish({ reports: step.reports });
        break;
      case "cut":
        this.#answer(step.answer)?.cut();
        break;
      case "refuse":
        this.provider.refusals.push(step.how);
        break;
      case "kill":
        await this.#replace(step.worker);
        break;
      case "cut off":
        this.#worker(step.worker).isCutOff = step.isCutOff;
        break;
      case "ledger":
        this.#mode = step.mode;
        break;
      case "pass":
        this.workers.clock.advance(step.ms);
    }
    await settle(3);
  }

  /** No more tokens than the budget and one prompt. */
  check(): void {
    const { total, largestPrompt } = this.provider;
    assert.ok(total <= BUDGET + largestPrompt, `${total} of ${BUDGET} + ${largestPrompt}`);
  }

  /** Killed workers' answers go on for as long as they may: nobody tells the provider. */
  async finishAll(): Promise<void> {
    for (let round = 0; round < 40; round++) {
      for (const answer of this.provider.open) answer.say(25);
      await settle(2);
      this.workers.clock.advance(1000);
      await settle(2);
      this.check();
    }
  }

  #worker(index: number): TestWorker {
    return this.#pool[index % this.#pool.length] ?? assert.fail();
  }

  #seat(index: number): { client: TestClient; at: TestWorker } {
    return this.#seats[index % this.#seats.length] ?? assert.fail();
  }

  #answer(index: number): CountingProvider["open"][number] | undefined {
    const { open } = this.provider;
    return open[index % Math.max(1, open.length)];
  }

  #start(): TestWorker {
    let isAlive = true;
    const { clock } = this.workers;
    const attempts: AttemptLedger = {
      account: async (change): Promise<UsageAnswer> => {
        if (!isAlive) return await new Promise(() => {});
        const away = (): AgentError => new AgentError("store_unavailable", "away", { retryable: true });
        if (this.#mode === "down") throw away();
        const answer = await this.#ledger.account(change);
        if (this.#mode === "loses answers") throw away();
        return answer;
      },
    };
    const worker = this.workers.start(`w${this.#names++}`, {
      tokensPerDay: BUDGET,
      attempts,
      provider: createOpenRouter({
        baseUrl: "https://provider.test/api/v1",
        maxRetries: 2,
        firstTokenTimeoutMs: 0,
        stallTimeoutMs: 30_000,
        clock,
        random: () => 0,
        log: { write: () => {} },
        fetch: (url, init) => isAlive ? this.provider.fetch(url, init) : new Promise(() => {}),
      }),
      settings: { maxTokens: MAX_TOKENS },
    });
    worker.verifier.admit("ann's", "ann", Infinity);
    const { kill } = worker;
    worker.kill = (): void => {
      isAlive = false;
      kill();
    };
    return worker;
  }

  async #connect(at: TestWorker, resumed: string): Promise<TestClient> {
    const who = this.#payer === "user" ? "jwt=ann's&" : "";
    return await at.connect(`${who}stream=true&${resumed}`, { "x-forwarded-for": "203.0.113.7" });
  }

  /** Kills a worker. Its clients go to the other one. */
  async #replace(index: number): Promise<void> {
    const at = index % this.#pool.length;
    const old = this.#worker(at);
    old.kill();
    this.#pool[at] = this.#start();
    for (const seat of this.#seats) {
      if (seat.at !== old) continue;
      seat.client.vanish();
      const { client } = seat;
      const cursor = Math.max(0, ...client.seqs);
      const to = this.#worker(index + 1);
      const resumed = isIn(client) || client.of("notification", "connected").length > 0
        ? client.resumeQuery(cursor)
        : "";
      if (!to.isCutOff) Object.assign(seat, { client: await this.#connect(to, resumed), at: to });
    }
  }
}

function isIn(client: TestClient): boolean {
  return client.isOpen && client.connection.state === "ready";
}

for (const payer of ["user", "address"] satisfies Payer[]) {
  Deno.test(`[US3] asks, cancels, cuts, retries and kills in any order: a day's budget of an ${payer} and one prompt are the most`, async () => {
    let spentUp = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const world = new World(payer);
        await world.open();
        for (const step of steps) {
          await world.take(step);
          world.check();
        }
        await world.finishAll();
        if (world.provider.total >= BUDGET - MAX_TOKENS) spentUp++;
      }),
      { numRuns: 60 },
    );
    assert.ok(spentUp > 10, `the budget was near its end in ${spentUp} runs only`);
  });
}

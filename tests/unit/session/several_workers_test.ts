/** Whatever clients, models, workers, store and relay do, in whatever order: every seat ends up with the same. */

import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { LogPage } from "../../../supabase/functions/_shared/ports.ts";
import { isTerminal } from "../../../supabase/functions/_shared/protocol/log_event.ts";
import type { TestClient } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { LEASE_MS, startWorkers, type TestWorker, type Workers } from "../../support/workers.ts";

/** A user, not somebody with a resume token: that is hashed on another thread, and no run would be like another. */
const TOKEN = "ann's";
const WHO = `jwt=${TOKEN}`;

const seat = fc.nat(2);
const worker = fc.nat(2);
const ids = fc.constantFrom("a", "b", "c", "d", "e");
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("ask" as const),
      seat,
      id: ids,
      policy: fc.constantFrom("queue", "queue", "reject", "interrupt", "latest"),
      priority: fc.constantFrom("high", "normal", "low"),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("say" as const),
      worker,
      text: fc.constantFrom("x", "yy ", "é\ud83d\ude00"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("finish" as const), worker }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), seat, all: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const), seat }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("move" as const), seat, worker }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("kill" as const), worker }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), worker }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lose" as const), worker }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("slow" as const), worker, ms: fc.constantFrom(0, 10, 700) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("drain" as const), worker }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("relay" as const), isUp: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("advance" as const),
      ms: fc.constantFrom(1, 20, 600, 3000, LEASE_MS + 100),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What one user sees across all her connections, as a client that resumes by its cursor keeps it. */
class Seat {
  readonly past: TestClient[] = [];
  readonly asked = new Map<string, { content: string; policy: string; priority: string }>();
  client: TestClient;
  at: TestWorker;

  constructor(client: TestClient, at: TestWorker) {
    this.client = client;
    this.at = at;
  }

  /** The durable events it was shown, over all its connections. */
  get shown(): { seq: number; what: string }[] {
    return [...this.past, this.client].flatMap(({ frames }) =>
      frames.flatMap((frame) => {
        const { seq, replay, type, code, timestamp: _, ...rest } = frame as
          & Record<string, unknown>
          & typeof frame;
        if (typeof seq !== "number" || replay !== undefined) return [];
        // The asker is told of a query by a status, maybe more than once; the others by the query.
        if (type === "query") return [{ seq, what: `query ${rest.id}` }];
        if (type === "status" && (code === "thinking" || code === "queued")) return [];
        return [{
          seq,
          what: `${type} ${code ?? ""} ${rest.in_reply_to} ${rest.content} ${rest.partial ?? ""}`,
        }];
      })
    );
  }

  /** Whether she can say something. */
  get isIn(): boolean {
    return this.client.isOpen && this.client.connection.state === "ready";
  }

  get cursor(): number {
    return this.client.connection.cursor;
  }
}

class World {
  readonly workers: Workers = startWorkers();
  readonly pool: TestWorker[] = [];
  readonly seats: Seat[] = [];
  #names = 0;

  get alive(): TestWorker[] {
    return this.pool;
  }

  async open(): Promise<void> {
    for (let n = 0; n < 3; n++) this.pool.push(this.#start());
    const [a] = this.pool;
    assert.ok(a);
    const first = await a.connect(`${WHO}&stream=true`);
    this.seats.push(new Seat(first, a));
    for (const at of this.pool.slice(1)) {
      this.seats.push(new Seat(await at.connect(`${WHO}&stream=true&${first.resumeQuery(0)}`), at));
    }
  }

  seat(index: number): Seat {
    return this.seats[index % this.seats.length] ?? assert.fail();
  }

  worker(index: number): TestWorker {
    return this.pool[index % this.pool.length] ?? assert.fail();
  }

  /** A client that lost its worker, or moves: it resumes, and asks again what nobody has acknowledged. */
  async move(seat: Seat, to: TestWorker): Promise<void> {
    const first = this.seats[0]?.past[0] ?? this.seats[0]?.client;
    assert.ok(first);
    const { cursor } = seat;
    if (seat.isIn) seat.client.vanish();
    const dialled = to.dial(`${WHO}&stream=true&${first.resumeQuery(cursor)}`);
    await settle(1);
    for (let tries = 0; dialled.connection.state === "opening" && tries < 200; tries++) {
      await this.pass(50);
    }
    if (dialled.connection.state !== "ready") return void dialled.vanish();
    assert.equal((dialled.welcome.resumed as { recovered: boolean }).recovered, true);
    seat.past.push(seat.client);
    seat.client = dialled;
    seat.at = to;
  }

  replace(index: number): TestWorker {
    const at = index % this.pool.length;
    const old = this.worker(at);
    old.kill();
    this.pool[at] = this.#start();
    return old;
  }

  /** All troubles end; everything that runs or waits comes to its end. */
  async heal(): Promise<void> {
    this.workers.isRelayUp = true;
    for (const each of this.pool) Object.assign(each, { isCutOff: false, losesAnswers: false, latencyMs: 0 });
    for (let round = 0, quiet = 0; round < 60 && quiet < 3; round++) {
      for (const seat of this.seats) {
        if (!seat.isIn || !this.pool.includes(seat.at)) await this.move(seat, this.worker(0));
      }
      for (const { model } of this.pool) for (const call of model.calls) if (call.open) call.finish(".");
      await this.pass(600);
      quiet = await this.#isQuiet() ? quiet + 1 : 0;
    }
  }

  /** Time passes; what can go on does so before and after. */
  async pass(ms: number): Promise<void> {
    await settle(1);
    this.workers.clock.advance(ms);
    await settle(1);
  }

  /** The log as it is. */
  async log(): Promise<LogPage> {
    const sessionId = (this.seats[0]?.past[0] ?? this.seats[0]?.client)?.sessionId ?? "";
    return await this.workers.store.read(sessionId, { afterSeq: 0, limit: 1000 });
  }

  async #isQuiet(): Promise<boolean> {
    const { events, lastSeq } = await this.log();
    const open = events.filter(({ kind }) => kind === "query").length - events.filter(isTerminal).length;
    return open === 0 && this.seats.every((seat) => seat.isIn && seat.cursor === lastSeq);
  }

  #start(): TestWorker {
    const started = this.workers.start(`w${this.#names++}`);
    started.verifier.admit(TOKEN, "ann", Infinity);
    return started;
  }
}

async function take(world: World, each: Step): Promise<void> {
  switch (each.do) {
    case "ask": {
      const seat = world.seat(each.seat);
      const { id, policy, priority } = each;
      if (!seat.isIn) return;
      seat.client.ask(`question ${id}`, { id, policy, priority });
      return;
    }
    case "say":
      return world.worker(each.worker).model.calls.at(-1)?.say(each.text);
    case "finish":
      return world.worker(each.worker).model.calls.at(-1)?.finish();
    case "cancel": {
      const { client, isIn } = world.seat(each.seat);
      return isIn ? client.command("cancel", each.all ? { all: true } : {}) : undefined;
    }
    case "clear": {
      const { client, isIn } = world.seat(each.seat);
      return isIn ? client.command("clear") : undefined;
    }
    case "move":
      return await world.move(world.seat(each.seat), world.worker(each.worker));
    case "kill": {
      const old = world.replace(each.worker);
      for (const seat of world.seats) {
        if (seat.at === old) await world.move(seat, world.worker(each.worker + 1));
      }
      return;
    }
    case "cut":
      world.worker(each.worker).isCutOff = !world.worker(each.worker).isCutOff;
      return;
    case "lose":
      world.worker(each.worker).losesAnswers = !world.worker(each.worker).losesAnswers;
      return;
    case "slow":
      world.worker(each.worker).latencyMs = each.ms;
      return;
    case "drain": {
      const at = world.worker(each.worker);
      void at.server.drain("wall_clock");
      // Nobody waits any longer for a worker that is being replaced: it may not be done.
      for (let waited = 0; waited < 14; waited++) await world.pass(1000);
      for (const seat of world.seats) {
        if (seat.at === at && seat.client.connection.state !== "closed") seat.client.vanish();
      }
      await world.pass(2000);
      world.replace(each.worker);
      for (const seat of world.seats) {
        if (seat.at === at) await world.move(seat, world.worker(each.worker + 1));
      }
      return;
    }
    case "relay":
      world.workers.isRelayUp = each.isUp;
      return;
    case "advance":
      return await world.pass(each.ms);
  }
}

Deno.test("[TO1] [TO2] [TO3] [DU1] [DU2] [QU2] [SQ1] [SQ2] [SQ3] [DL3] any interleaving of three seats, three workers, store and relay", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50, size: "max" }), async (steps) => {
      const world = new World();
      await world.open();
      for (const each of steps) await take(world, each);
      await world.heal();
      const { events } = await world.log();
      events.forEach(({ seq }, index) => assert.equal(seq, index + 1, "without holes"));
      const questions = events.flatMap((event) => event.kind === "query" ? [event.queryId] : []);
      const ends = events.filter(isTerminal).map(({ queryId }) => queryId);
      assert.deepEqual(ends.toSorted(), questions.toSorted(), "one terminal event for each query");
      assert.equal(new Set(questions).size, questions.length, "each id once");
      for (const seat of world.seats) {
        const seqs = seat.shown.map(({ seq }) => seq);
        assert.deepEqual(seqs, [...new Set(seqs)].toSorted((a, b) => a - b), "in order, each once");
        assert.equal(
          seat.cursor,
          events.length,
          `caught up: ${seat.at.name} ${JSON.stringify(seat.at.logged.slice(-6))}`,
        );
        for (const response of seat.client.of("response")) {
          const text = seat.client.textOf(response.turn_id);
          assert.ok(
            String(response.content).startsWith(text),
            `deltas ${JSON.stringify(text)} of ${JSON.stringify(response.content)}`,
          );
        }
      }
      const [one, ...others] = world.seats.map(({ shown }) =>
        new Map(shown.map(({ seq, what }) => [seq, what]))
      );
      for (const other of others) {
        for (const [seq, what] of other) {
          const same = one?.get(seq);
          assert.ok(same === undefined || same === what, `the same for all: ${same} and ${what}`);
        }
      }
    }),
    { numRuns: 300 },
  );
});

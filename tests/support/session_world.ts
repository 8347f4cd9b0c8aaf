/** One session, three workers and three seats: the world in which a property test plays its steps. */

import assert from "node:assert/strict";
import type { LogPage } from "../../supabase/functions/_shared/ports/event_log.ts";
import { isTerminal } from "../../supabase/functions/_shared/protocol/log_event.ts";
import type { TestClient } from "./agent_harness.ts";
import { settle } from "./manual_clock.ts";
import { type Reading, readPlainly } from "./plain_reader.ts";
import { GOOD_WAY, type Way } from "./unruly_store.ts";
import { type RelayMode, startWorkers, type TestWorker, type Workers } from "./workers.ts";

/** A user with an access token, not a resume token: a resume token is hashed on another thread, so runs would differ. */
const TOKEN = "ann's";
const WHO = `jwt=${TOKEN}`;

/** If nothing was left to do for this long, no late write is still to come. */
const STAYS_QUIET_MS = 2200;

/** Something that happens. `seat` and `worker` are indexes. */
export type Step =
  | { do: "ask"; seat: number; id: string; policy: string; priority: string }
  | { do: "ask everywhere"; id: string }
  | { do: "say"; worker: number; text: string }
  | { do: "finish"; worker: number }
  | { do: "cancel"; seat: number; all: boolean }
  | { do: "clear"; seat: number }
  | { do: "move"; seat: number; worker: number; resends: boolean }
  | { do: "kill"; worker: number }
  | { do: "way"; worker: number; way: Partial<Way> }
  | { do: "drain"; worker: number }
  | { do: "relay"; mode: RelayMode }
  | { do: "advance"; ms: number };

/** One connection of a seat. */
interface Visit {
  client: TestClient;
  lastSeq: number;
  /** For each query, how many frames had been received when it was last sent. */
  askedAt: Map<string, number>;
}

/** What one user receives over all their connections. Acts as a client that resumes from its cursor. */
export class Seat {
  readonly visits: Visit[] = [];
  /** The frames of its queries, by id. */
  readonly #asked = new Map<string, Record<string, unknown>>();
  at: TestWorker;

  constructor(client: TestClient, at: TestWorker) {
    this.at = at;
    this.enter(client, 0);
  }

  enter(client: TestClient, lastSeq: number): void {
    this.visits.push({ client, lastSeq, askedAt: new Map() });
  }

  get #visit(): Visit {
    return this.visits.at(-1) ?? assert.fail();
  }

  get client(): TestClient {
    return this.#visit.client;
  }

  /** Whether it can send frames. */
  get isIn(): boolean {
    return this.client.isOpen && this.client.connection.state === "ready";
  }

  /** The newest `seq` received, as a simple client stores it. */
  get cursor(): number {
    const { lastSeq, client: { seqs } } = this.#visit;
    return Math.max(lastSeq, ...seqs);
  }

  get readings(): Reading[] {
    return this.visits.map(({ client, lastSeq, askedAt }) => readPlainly(client, lastSeq, askedAt));
  }

  ask(id: string, fields: Record<string, unknown> = {}): void {
    const frame = this.#asked.get(id) ?? fields;
    this.#asked.set(id, frame);
    this.#visit.askedAt.set(id, this.client.frames.length);
    this.client.ask(`question ${id}`, { ...frame, id });
  }

  /** Resends the queries for which it has seen no terminal event. */
  resend(): void {
    const ended = new Set(
      this.visits.flatMap(({ client }) =>
        client.frames.flatMap(({ seq, type, in_reply_to }) => seq && type !== "delta" ? [in_reply_to] : [])
      ),
    );
    for (const id of this.#asked.keys()) if (!ended.has(id)) this.ask(id);
  }

  /** The durable events it received, over all its connections. */
  get shown(): { seq: number; what: string }[] {
    return this.visits.flatMap(({ client: { frames } }) =>
      frames.flatMap((frame) => {
        const { seq, replay, type, code, timestamp: _, ...rest } = frame as
          & Record<string, unknown>
          & typeof frame;
        if (typeof seq !== "number" || replay !== undefined) return [];
        // For a query, its sender gets a status, maybe more than once; other clients get the query itself.
        if (type === "query") return [{ seq, what: `query ${rest.id}` }];
        if (type === "status" && (code === "thinking" || code === "queued")) return [];
        return [{
          seq,
          what: `${type} ${code ?? ""} ${rest.in_reply_to} ${rest.content} ${rest.partial ?? ""}`,
        }];
      })
    );
  }
}

export class World {
  readonly workers: Workers = startWorkers();
  /** The workers that are alive. */
  readonly pool: TestWorker[] = [];
  readonly everyWorker: TestWorker[] = [];
  readonly seats: Seat[] = [];
  #names = 0;

  static async open(): Promise<World> {
    const world = new World();
    for (let n = 0; n < 3; n++) world.pool.push(world.#start());
    const a = world.worker(0);
    const first = await a.connect(`${WHO}&stream=true`);
    world.seats.push(new Seat(first, a));
    for (const at of world.pool.slice(1)) {
      world.seats.push(new Seat(await at.connect(`${WHO}&stream=true&${first.resumeQuery(0)}`), at));
    }
    return world;
  }

  seat(index: number): Seat {
    return this.seats[index % this.seats.length] ?? assert.fail();
  }

  worker(index: number): TestWorker {
    return this.pool[index % this.pool.length] ?? assert.fail();
  }

  /** The newest state of the session's log. */
  async log(): Promise<LogPage> {
    return await this.workers.store.read(this.#first.sessionId, { afterSeq: 0, limit: 1000 });
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "ask": {
        const { id, policy, priority } = step;
        return this.#say(step.seat, (seat) => seat.ask(id, { policy, priority }));
      }
      case "ask everywhere":
        for (const seat of this.seats) if (seat.isIn) seat.ask(step.id);
        return;
      case "say":
        return this.worker(step.worker).model.calls.at(-1)?.say(step.text);
      case "finish":
        return this.worker(step.worker).model.calls.at(-1)?.finish();
      case "cancel":
        return this.#say(step.seat, ({ client }) => client.command("cancel", step.all ? { all: true } : {}));
      case "clear":
        return this.#say(step.seat, ({ client }) => client.command("clear"));
      case "move": {
        const seat = this.seat(step.seat);
        await this.#move(seat, this.worker(step.worker));
        if (step.resends && seat.isIn) seat.resend();
        return;
      }
      case "kill":
        return await this.#replace(step.worker);
      case "way":
        Object.assign(this.worker(step.worker), step.way);
        return;
      case "drain":
        return await this.#drain(step.worker);
      case "relay":
        this.workers.relay = step.mode;
        return;
      case "advance":
        return await this.pass(step.ms);
    }
  }

  /**
   * Ends all faults and waits until everything that runs or waits has finished. Returns how long that took, in
   * milliseconds.
   */
  async heal(): Promise<number> {
    this.workers.relay = "up";
    for (const each of this.pool) Object.assign(each, GOOD_WAY);
    const since = this.workers.clock.now();
    let restedAt = since;
    // Events that the relay lost are found by polling the heads, as after a relay outage.
    for (const { server } of this.pool) server.pollHeads();
    for (let round = 0; round < 180; round++) {
      for (const seat of this.seats) {
        if (!seat.isIn || !this.pool.includes(seat.at)) await this.#move(seat, this.worker(0));
      }
      for (const { model } of this.pool) for (const call of model.calls) if (call.open) call.finish(".");
      await this.pass(200);
      if (!await this.#isQuiet()) restedAt = this.workers.clock.now();
      else if (this.workers.clock.now() - restedAt >= STAYS_QUIET_MS) break;
    }
    return restedAt - since;
  }

  /** Moves the clock. What can run does so before and after. */
  async pass(ms: number): Promise<void> {
    await settle(1);
    this.workers.clock.advance(ms);
    await settle(1);
  }

  get #first(): TestClient {
    return this.seat(0).visits[0]?.client ?? assert.fail();
  }

  #say(index: number, say: (seat: Seat) => void): void {
    const seat = this.seat(index);
    if (seat.isIn) say(seat);
  }

  /** A client that lost its worker, or changes workers, resumes its session. */
  async #move(seat: Seat, to: TestWorker): Promise<void> {
    const { cursor } = seat;
    if (seat.isIn) seat.client.vanish();
    const dialled = to.dial(`${WHO}&stream=true&${this.#first.resumeQuery(cursor)}`);
    await settle(1);
    for (let tries = 0; dialled.connection.state === "opening" && tries < 200; tries++) {
      await this.pass(50);
    }
    if (dialled.connection.state !== "ready") return void dialled.vanish();
    assert.equal((dialled.welcome.resumed as { recovered: boolean }).recovered, true);
    seat.enter(dialled, cursor);
    seat.at = to;
  }

  /** Kills a worker and starts a new one in its place. Its clients connect to other workers. */
  async #replace(index: number): Promise<void> {
    const at = index % this.pool.length;
    const old = this.worker(at);
    old.kill();
    this.pool[at] = this.#start();
    for (const seat of this.seats) {
      if (seat.at !== old) continue;
      await this.#move(seat, this.worker(index + 1));
      if (seat.isIn) seat.resend();
    }
  }

  async #drain(index: number): Promise<void> {
    const at = this.worker(index);
    void at.server.drain("wall_clock");
    // The platform waits only this long for a worker that is being replaced, so the drain may not have finished.
    for (let waited = 0; waited < 14; waited++) await this.pass(1000);
    for (const seat of this.seats) {
      if (seat.at === at && seat.client.connection.state !== "closed") seat.client.vanish();
    }
    await this.pass(2000);
    await this.#replace(index);
  }

  async #isQuiet(): Promise<boolean> {
    const { events, lastSeq } = await this.log();
    const open = events.filter(({ kind }) => kind === "query").length - events.filter(isTerminal).length;
    return open === 0 && this.seats.every((seat) => seat.isIn && seat.cursor === lastSeq);
  }

  #start(): TestWorker {
    const started = this.workers.start(`w${this.#names++}`);
    started.verifier.admit(TOKEN, "ann", Infinity);
    this.everyWorker.push(started);
    return started;
  }
}

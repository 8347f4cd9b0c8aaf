/** Runs one plan to its end: every message gets its time, and after the last fault everything must come to rest. */

import {
  connect,
  deliver,
  disconnect,
  endCall,
  killWorker,
  type Message,
  newWorld,
  send,
  sendStop,
  startWorker,
  tell,
  type Worker,
  type World,
} from "./world.ts";
import { check, Violation } from "./observer.ts";
import { type Action, type Fate, isCalm, type Plan } from "./plan.ts";
import { roll } from "./random.ts";
import { TimeQueue } from "./time_queue.ts";

const LEASE_MS = 5000;
/** How long a write is tried before nobody knows. The real store takes 15 seconds; shorter finds more. */
const GIVE_UP_MS = 1500;
/** How often a worker asks how far the log is. */
const POLL_MS = 15_000;
/** Far more than any run needs. */
const MAX_TURNS = 20_000;
/** After the last fault everything is at rest within so long. */
const REST_MS = 60_000;

const SETTINGS = {
  maxHistory: 20,
  maxEvents: 1000,
  maxQueue: 4,
  continuePolicy: "continue",
  checkpointMs: 500,
  leaseMs: LEASE_MS,
  renewLeaseMs: 1500,
} as const;

type Task =
  | { do: "deliver"; message: Message }
  | Action
  | { do: "reconnect"; client: number }
  | { do: "replace"; slot: number }
  | { do: "poll"; slot: number }
  | { do: "finish"; workerId: string; call: number }
  | { do: "gone"; workerId: string };

/** What a worker's place is like; workers come and go in it. */
interface Slot {
  workerId: string | undefined;
  lives: number;
  fates: Fate[];
  awayUntil: number;
  frozenUntil: number;
  skewMs: number;
}

export interface RunResult {
  steps: number;
  events: number;
  violation: Violation | undefined;
}

export function runPlan(plan: Plan, observe?: (world: World) => void): RunResult {
  const run = new Run(plan);
  observe?.(run.world);
  let violation: Violation | undefined;
  try {
    run.toRest();
  } catch (thrown) {
    violation = thrown instanceof Violation
      ? thrown
      : new Violation(String(thrown instanceof Error ? thrown.stack : thrown));
  }
  return { steps: run.world.counts.steps, events: run.world.store.events.length, violation };
}

class Run {
  readonly world: World;
  readonly #plan: Plan;
  readonly #slots: Slot[] = [];
  readonly #tasks = new TimeQueue<Task>();
  readonly #startAt: number;
  #messages = 0;
  #relay: { mode: "drop" | "double" | "slow"; until: number } = { mode: "drop", until: 0 };
  #reconnecting = new Set<number>();

  constructor(plan: Plan) {
    this.#plan = plan;
    const names = Array.from({ length: plan.clients }, (_, n) => `c${n}`);
    this.world = newWorld({
      settings: SETTINGS,
      leaseMs: LEASE_MS,
      clients: names,
      post: (message) => this.#post(message),
    });
    this.#startAt = this.world.now;
    for (let slot = 0; slot < plan.workers; slot++) {
      this.#slots.push({ workerId: undefined, lives: 0, fates: [], awayUntil: 0, frozenUntil: 0, skewMs: 0 });
      this.#start(slot);
      this.#after(POLL_MS * this.#roll(3), { do: "poll", slot });
    }
    for (const action of plan.actions) this.#tasks.add(this.#startAt + action.at, action);
  }

  toRest(): void {
    const healAt = this.#startAt + this.#plan.endsAt;
    let isHealed = false;
    this.#callReconnects();
    for (let turns = 0;; turns++) {
      check(turns < MAX_TURNS, () => `goes round in circles: ${this.#describe()}`);
      const due = this.#nextDue();
      if (!isHealed && due >= healAt) {
        isHealed = true;
        this.#heal(healAt);
        continue;
      }
      if (isHealed && this.#isAtRest()) return this.#checkRest();
      check(due < healAt + REST_MS, () => `not at rest: ${this.#describe()}`);
      this.#next(due);
    }
  }

  #nextDue(): number {
    let due = this.#tasks.nextAt;
    for (const { workerId, frozenUntil } of this.#slots) {
      const wakeAt = this.#worker(workerId)?.wakeAt;
      if (wakeAt !== undefined) due = Math.min(due, Math.max(wakeAt, frozenUntil));
    }
    return due;
  }

  #next(due: number): void {
    const { world } = this;
    world.now = Math.max(world.now, due);
    for (const { workerId, frozenUntil } of this.#slots) {
      const worker = this.#worker(workerId);
      if (worker?.wakeAt === undefined || Math.max(worker.wakeAt, frozenUntil) > world.now) continue;
      tell(world, worker, { kind: "wake" });
      return this.#callReconnects();
    }
    const task = this.#tasks.take();
    if (task !== undefined) this.#do(task);
    this.#callReconnects();
  }

  #do(task: Task): void {
    const { world } = this;
    switch (task.do) {
      case "deliver":
        return this.#deliver(task.message);
      case "reconnect": {
        this.#reconnecting.delete(task.client);
        const client = world.clients[task.client];
        const alive = this.#slots.filter(({ workerId }) =>
          this.#worker(workerId)?.state.life.name === "open"
        );
        const worker = this.#worker(alive[Math.floor(this.#roll(1) * alive.length)]?.workerId);
        if (client !== undefined && client.workerId === undefined && worker !== undefined) {
          connect(world, client, worker);
        }
        return;
      }
      case "replace":
        return this.#start(task.slot);
      case "poll": {
        const worker = this.#worker(this.#slots[task.slot]?.workerId);
        if (worker !== undefined && worker.state.connections.size > 0) {
          tell(world, worker, { kind: "head", seq: world.store.events.length });
        }
        return this.#after(POLL_MS, { do: "poll", slot: task.slot });
      }
      case "finish": {
        const worker = this.#worker(task.workerId);
        if (worker === undefined) return;
        const frozenUntil = this.#slotOf(task.workerId)?.frozenUntil ?? 0;
        if (frozenUntil > world.now) return this.#tasks.add(frozenUntil, task);
        return endCall(world, worker, task.call, this.#roll(6) > 0.06);
      }
      case "gone": {
        const slot = this.#slots.findIndex(({ workerId }) => workerId === task.workerId);
        if (slot < 0) return;
        this.#kill(slot);
        return;
      }
      default:
        return this.#act(task);
    }
  }

  #act(action: Action): void {
    const { world } = this;
    const client = "client" in action ? world.clients[action.client] : undefined;
    const slot = "worker" in action ? action.worker : 0;
    const place = this.#slots[slot];
    const worker = this.#worker(place?.workerId);
    switch (action.do) {
      case "ask":
        return client && send(world, client, askOf(action));
      case "stop":
        return client && sendStop(world, client, { which: action.which, reason: "cancelled" });
      case "clear":
      case "configure":
      case "note":
        return client && this.#say(client.workerId, client.name, action.do);
      case "cut":
        return client && disconnect(world, client, action.lost);
      case "toggle": {
        const at = client?.seat === undefined ? undefined : this.#worker(client.workerId);
        if (client?.seat === undefined || at === undefined) return;
        client.wantsDeltas = !client.wantsDeltas;
        client.seat.texts.clear();
        return tell(world, at, {
          kind: "set_deltas",
          connectionId: client.seat.connectionId,
          wantsDeltas: client.wantsDeltas,
        });
      }
      case "kill":
        return this.#kill(slot);
      case "drain":
        if (worker === undefined || worker.state.life.name !== "open") return;
        tell(world, worker, {
          kind: "drain",
          deadline: world.now + worker.skewMs + 2000,
          leave: "hand_over",
        });
        return this.#after(6000, { do: "gone", workerId: worker.id });
      case "freeze":
        if (place !== undefined) place.frozenUntil = world.now + action.ms;
        return;
      case "skew":
        if (place !== undefined) place.skewMs = action.ms;
        if (worker !== undefined) worker.skewMs = action.ms;
        return;
      case "away":
        if (place !== undefined) place.awayUntil = world.now + action.ms;
        return;
      case "fate":
        return void place?.fates.push(action.fate);
      case "relay":
        this.#relay = { mode: action.mode, until: world.now + action.ms };
        return;
    }
  }

  #say(workerId: string | undefined, name: string, what: "clear" | "configure" | "note"): void {
    const worker = this.#worker(workerId);
    if (worker === undefined) return;
    const wish = `${name}-${what}-${++this.world.counts.ids}`;
    if (what === "note") return tell(this.world, worker, { kind: "noted", comment: wish });
    const event = what === "clear" ? { kind: "cleared", clearId: wish, connectionId: name } as const : {
      kind: "configured",
      configId: wish,
      connectionId: name,
      options: { temperature: this.world.counts.ids % 2 },
    } as const;
    tell(this.world, worker, { kind: "append", wish, event });
  }

  #post(message: Message): void {
    const { world } = this;
    switch (message.kind) {
      case "write":
        return this.#postWrite(message);
      case "answer":
      case "page":
        return this.#deliverAfter(1 + 30 * this.#roll(2), message);
      case "read":
        if ((this.#slotOf(message.from)?.awayUntil ?? 0) > world.now) {
          const event = { kind: "read_failed", purpose: message.purpose, code: "store_unavailable" } as const;
          return this.#deliverAfter(GIVE_UP_MS, { kind: "page", to: message.from, event });
        }
        return this.#deliverAfter(1 + 30 * this.#roll(3), message);
      case "relay":
        return this.#postRelay(message);
      case "model":
        return this.#deliverAfter(this.#roll(5) < 0.03 ? 8000 : 20 + 500 * this.#roll(4), message);
      case "replayed":
        return this.#deliverAfter(this.#roll(5) < 0.1 ? 2000 : 0, message);
    }
  }

  #postWrite(message: Extract<Message, { kind: "write" }>): void {
    const { from, number } = message;
    const slot = this.#slotOf(from);
    const fate = slot !== undefined && slot.awayUntil > this.world.now
      ? { name: "lost" } as const
      : slot?.fates.shift();
    const doubt = { kind: "answer", to: from, number, outcome: { doubt: true } } as const;
    switch (fate?.name) {
      case undefined:
        return this.#deliverAfter(1 + 30 * this.#roll(3), message);
      case "slow":
        return this.#deliverAfter(fate.ms, message);
      case "answer_lost":
        this.#deliverAfter(10, { ...message, isGivenUp: true });
        return this.#deliverAfter(GIVE_UP_MS, doubt);
      case "lost":
        return this.#deliverAfter(GIVE_UP_MS, doubt);
      case "late":
        this.#deliverAfter(GIVE_UP_MS, doubt);
        return this.#deliverAfter(GIVE_UP_MS + fate.ms, { ...message, isGivenUp: true });
      case "refused":
        return this.#deliverAfter(20, {
          kind: "answer",
          to: from,
          number,
          outcome: { rejected: "internal" },
        });
    }
  }

  #postRelay(message: Extract<Message, { kind: "relay" }>): void {
    const isBad = this.#relay.until > this.world.now;
    const delay = 1 + 20 * this.#roll(4);
    if (isBad && this.#relay.mode === "drop" && this.#roll(5) < 0.7) return;
    if (isBad && this.#relay.mode === "double") this.#deliverAfter(delay + 300 * this.#roll(6), message);
    this.#deliverAfter(isBad && this.#relay.mode === "slow" ? 3000 * this.#roll(6) : delay, message);
  }

  #deliver(message: Message): void {
    const { world } = this;
    const to = message.kind === "write" || message.kind === "read" ? undefined : message.to;
    const slot = to === undefined ? undefined : this.#slotOf(to);
    if (slot !== undefined && slot.frozenUntil > world.now) {
      return this.#tasks.add(slot.frozenUntil, { do: "deliver", message });
    }
    deliver(world, message);
    if (message.kind !== "model" || this.#worker(message.to)?.calls.has(message.call) !== true) return;
    const pieces = 1 + Math.floor(5 * roll(this.#plan.seed, message.call, 77));
    if (message.piece < pieces) return this.#post({ ...message, piece: message.piece + 1 });
    this.#after(20 + 300 * this.#roll(4), { do: "finish", workerId: message.to, call: message.call });
  }

  #heal(at: number): void {
    this.world.now = at;
    this.#relay.until = 0;
    for (const slot of this.#slots) Object.assign(slot, { fates: [], awayUntil: 0, frozenUntil: 0 });
    this.#callReconnects();
  }

  #isAtRest(): boolean {
    const { world } = this;
    const { store } = world;
    if (store.openTurns.size > 0) return false;
    // A worker that was killed gives nothing up.
    if (store.runner !== undefined && world.workers.has(store.runner)) return false;
    for (const client of world.clients) {
      if (client.seat?.seen !== store.events.length || client.unanswered.size > 0) return false;
    }
    for (const { state } of world.workers.values()) {
      if (state.connections.size > 0 && state.log.lastSeq !== store.events.length) return false;
      if (state.flight !== undefined || state.intents.length > 0 || state.turns.size > 0) return false;
    }
    return true;
  }

  #checkRest(): void {
    const { world } = this;
    for (const { id, state } of world.workers.values()) {
      if (state.connections.size === 0) continue;
      check(
        JSON.stringify(state.defaults) === JSON.stringify(world.store.defaults),
        () => `${id} has other defaults than the log`,
      );
    }
    if (!isCalm(this.#plan)) return;
    // What a client sends again never causes a second call.
    if (this.#plan.clients === 1) {
      check(world.counts.vainCalls === 0, () => `${world.counts.vainCalls} model calls in vain`);
    }
    for (const [queryId, calls] of world.callsOf) {
      check(calls === 1, () => `${queryId} took ${calls} model calls`);
    }
  }

  #describe(): string {
    const { world: { store, clients, workers } } = this;
    const open = [...store.openTurns.values()].map(({ query }) => query.queryId);
    const seats = clients.map(({ name, seat, unanswered }) =>
      `${name}@${seat?.seen} waits for ${[...unanswered.keys()]}`
    );
    const states = [...workers.values()].map(({ id, state }) => {
      const turns = [...state.turns.values()].map(({ phase, query }) => `${query.queryId} ${phase}`);
      return `${id} ${state.life.name} ${
        JSON.stringify(state.lease)
      } [${turns}] flight ${state.flight?.number} log ${JSON.stringify(state.log)}`;
    });
    return `log ${store.events.length}, lease ${store.runner}, open [${open}]; ${seats.join("; ")}; ${
      states.join("; ")
    }`;
  }

  #start(slot: number): void {
    const place = this.#slots[slot];
    if (place === undefined || place.workerId !== undefined) return;
    place.workerId = `${"abc"[slot]}${++place.lives}`;
    startWorker(this.world, place.workerId, place.skewMs);
  }

  #kill(slot: number): void {
    const place = this.#slots[slot];
    if (place?.workerId === undefined) return;
    killWorker(this.world, place.workerId);
    Object.assign(place, { workerId: undefined, fates: [], awayUntil: 0, frozenUntil: 0 });
    this.#after(300, { do: "replace", slot });
  }

  /** A client without a worker comes again. */
  #callReconnects(): void {
    this.world.clients.forEach(({ workerId }, client) => {
      if (workerId !== undefined || this.#reconnecting.has(client)) return;
      this.#reconnecting.add(client);
      this.#after(this.world.counts.steps < 8 && this.#messages < 20 ? 0 : 50 + 800 * this.#roll(7), {
        do: "reconnect",
        client,
      });
    });
  }

  #worker(id: string | undefined): Worker | undefined {
    return id === undefined ? undefined : this.world.workers.get(id);
  }

  #slotOf(workerId: string): Slot | undefined {
    return this.#slots.find((slot) => slot.workerId === workerId);
  }

  #after(ms: number, task: Task): void {
    this.#tasks.add(this.world.now + Math.floor(ms), task);
  }

  #deliverAfter(ms: number, message: Message): void {
    this.#after(ms, { do: "deliver", message });
  }

  #roll(kind: number): number {
    return roll(this.#plan.seed, kind, ++this.#messages);
  }
}

function askOf({ id, policy, priority }: Extract<Action, { do: "ask" }>): Parameters<typeof send>[2] {
  const query = {
    kind: "query",
    queryId: id,
    turnId: "",
    content: `question ${id}`,
    options: {},
    priority,
    first: false,
    connectionId: "",
    feedback: [],
    stream: undefined,
    payers: [],
  } as const;
  return { kind: "ask", query, policy, refusal: undefined };
}

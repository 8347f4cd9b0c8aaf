/** Runs one plan to its end: every message gets its time, and after the last fault everything must come to rest. */

import { connect, disconnect, send, sendStop } from "./clients.ts";
import { decide } from "./tools.ts";
import { deliver, endCall, killWorker, startWorker, tell } from "./world.ts";
import { type Client, type Message, newWorld, SETTINGS, type Worker, type World } from "./world_state.ts";
import { check, Violation } from "./observer.ts";
import { type Action, askOf, type Fate, type Plan } from "./plan.ts";
import { roll } from "./random.ts";
import { checkRest, describe, isAtRest } from "./rest.ts";
import { route } from "./network.ts";
import { TimeQueue } from "./time_queue.ts";

/** How often a worker polls the head of the log. */
const POLL_MS = 15_000;
/** Far more than any run needs. */
const MAX_TURNS = 20_000;
/** After the last fault, everything must be at rest within this time. */
const REST_MS = 120_000;

type Task =
  | { do: "deliver"; message: Message }
  | Action
  | { do: "reconnect"; client: number }
  | { do: "replace"; slot: number }
  | { do: "poll"; slot: number }
  | { do: "finish"; workerId: string; call: number }
  | { do: "gone"; workerId: string }
  | { do: "decide"; client: number; callId: string };

/** A place for one worker at a time. */
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
      clients: names,
      post: (message) => this.#post(message),
    });
    this.world.onWaiting = (client, callId) => this.#mayDecide(client, callId);
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
      check(turns < MAX_TURNS, () => `goes round in circles: ${describe(this.world)}`);
      const due = this.#nextDue();
      if (!isHealed && due >= healAt) {
        isHealed = true;
        this.#heal(healAt);
        continue;
      }
      if (isHealed && isAtRest(this.world)) return checkRest(this.world, this.#plan);
      check(due < healAt + REST_MS, () => `not at rest: ${describe(this.world)}`);
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
      case "decide": {
        const client = world.clients[task.client];
        const worker = this.#worker(client?.workerId);
        if (client === undefined || worker === undefined) return;
        return decide(world, client, worker, task.callId, this.#roll(8));
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
    const { now } = this.world;
    const from = "from" in message ? this.#slotOf(message.from) : undefined;
    const conditions = {
      isAway: (from?.awayUntil ?? 0) > now,
      fate: message.kind === "write" ? from?.fates.shift() : undefined,
      relay: this.#relay.until > now ? this.#relay.mode : undefined,
      roll: (kind: number): number => this.#roll(kind),
    };
    for (const [after, sent] of route(message, conditions)) {
      this.#after(after, { do: "deliver", message: sent });
    }
  }

  #deliver(message: Message): void {
    const { world } = this;
    const to = "to" in message ? message.to : undefined;
    const slot = to === undefined ? undefined : this.#slotOf(to);
    if (slot !== undefined && slot.frozenUntil > world.now) {
      return this.#tasks.add(slot.frozenUntil, { do: "deliver", message });
    }
    deliver(world, this.#mayBeginAgain(message));
    if (message.kind !== "model" || this.#worker(message.to)?.calls.has(message.call) !== true) return;
    const pieces = 1 + Math.floor(5 * roll(this.#plan.seed, message.call, 77));
    if (message.piece < pieces) return this.#post({ ...message, piece: message.piece + 1 });
    this.#after(20 + 300 * this.#roll(4), { do: "finish", workerId: message.to, call: message.call });
  }

  /** Some answers are replaced by a new one, before their first character here or later. */
  #mayBeginAgain(message: Message): Message {
    if (message.kind !== "model") return message;
    const { call, piece } = message;
    return { ...message, begins: roll(this.#plan.seed, call, 78 + piece) < (piece === 1 ? 0.15 : 0.03) };
  }

  /** Some decide at once, some later, some twice, and some never: then the call expires. */
  #mayDecide(client: Client, callId: string): void {
    const number = this.world.clients.indexOf(client);
    const times = this.#roll(9) < 0.6 ? 1 : this.#roll(9) < 0.3 ? 2 : 0;
    for (let time = 0; time < times; time++) {
      this.#after(this.#roll(10) < 0.1 ? 9000 : 3000 * this.#roll(10), {
        do: "decide",
        client: number,
        callId,
      });
    }
  }

  #heal(at: number): void {
    this.world.now = at;
    this.#relay.until = 0;
    for (const slot of this.#slots) Object.assign(slot, { fates: [], awayUntil: 0, frozenUntil: 0 });
    this.#callReconnects();
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

  /** A client without a worker reconnects. */
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

  #roll(kind: number): number {
    return roll(this.#plan.seed, kind, ++this.#messages);
  }
}

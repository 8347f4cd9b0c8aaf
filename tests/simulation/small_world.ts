/**
 * Every order of events in a small world: two workers, two queries, one kill, one lost answer, one late write. Each
 * state is visited once, and from each state every possible next move is tried.
 */

import { clone, freeze } from "./clone.ts";
import { check } from "./observer.ts";
import { connect, send, workerOf } from "./clients.ts";
import { deliver, endCall, killWorker, startWorker, tell } from "./world.ts";
import { copyOfStore } from "./store.ts";
import { type Message, newWorld, SETTINGS, type World } from "./world_state.ts";

export interface Budget {
  /** Queries still to be sent, by client. */
  asks: SmallAsk[][];
  kills: number;
  /** Answers that may be lost: the write was executed, but it is in doubt for the worker. */
  lostAnswers: number;
  /** Writes that may be given up and then arrive later, or never. */
  lateLandings: number;
  /** How often time may pass while messages are in transit: these messages are slow then. */
  stalls: number;
}

export interface SmallAsk {
  id: string;
  replaces?: string;
}

/** A message in transit. Reads are served as soon as they are sent, so they are never in transit. */
type InTransit = Exclude<Message, { kind: "read" | "recall" }>;

export interface SmallWorld {
  world: World;
  budget: Budget;
  /** Messages in transit. Any of them may arrive next. */
  pending: InTransit[];
}

// Neither checkpoints nor renewals: a lease expires if the turn takes too long. This adds one case and removes many
// states.
const PLAIN_SETTINGS = Object.freeze({ ...SETTINGS, checkpointMs: Infinity, renewLeaseMs: Infinity });

export function smallWorld(budget: Budget): SmallWorld {
  const pending: InTransit[] = [];
  const world = newWorld({
    settings: PLAIN_SETTINGS,
    clients: budget.asks.map((_, n) => `c${n}`),
    post: (message) => post(world, pending, message),
  });
  const small = { world, budget, pending };
  const [a, b] = [startWorker(world, "a"), startWorker(world, "b")];
  // Each client sees the text of its own query only: no text goes over the relay.
  for (const client of world.clients) client.wantsDeltas = client.wantsReasoning = false;
  world.clients.forEach((client, n) => connect(world, client, n % 2 === 0 ? a : b));
  return small;
}

export interface Move {
  name(): string;
  /** The only worker that it changes, or the store; undefined if it may change all of them. */
  at: string | undefined;
  /** Whether it is a fault, which may happen but need not. */
  isFault: boolean;
  make(small: SmallWorld): void;
}

export function movesOf(small: SmallWorld): Move[] {
  const { world, budget, pending } = small;
  const moves: Move[] = [];
  const add: Add = (name, at, make, isFault = false) =>
    void moves.push({
      name,
      at,
      isFault,
      make: (small) => {
        make(small);
        dropSpent(small);
      },
    });
  pending.forEach((message, index) => addDeliveries(add, message, index, small));
  budget.asks.forEach(([next], n) => {
    const client = world.clients[n];
    if (next !== undefined && client?.seat !== undefined) {
      add(() => `${client.name} asks ${next.id}`, client.workerId, (small) => ask(small, n, next));
    }
  });
  for (const { id, wakeAt } of world.workers.values()) {
    if (wakeAt !== undefined && wakeAt <= world.now) {
      add(() => `${id} wakes`, id, ({ world }) => wake(world, id));
    }
    if (budget.kills > 0 && world.workers.size > 1) {
      add(() => `${id} is killed`, undefined, (small) => kill(small, id), true);
    }
  }
  const head = world.store.events.length;
  for (const { id, state } of world.workers.values()) {
    // The next poll finds what no doorbell announces.
    if (state.connections.size === 0 || state.log.wantedSeq >= head || pending.length > 0) continue;
    add(() => `${id} polls`, id, ({ world }) => poll(world, id));
  }
  const next = nextTime(world);
  const isQuiet = pending.every((message) => message.kind === "write" && message.isGivenUp);
  if (next !== undefined && (isQuiet || budget.stalls > 0)) {
    add(() => `${next - world.now} ms pass`, "none", ({ world, budget }) => {
      world.now = next;
      if (!isQuiet) budget.stalls--;
    }, !isQuiet);
  }
  return moves;
}

type Add = (name: () => string, at: string | undefined, make: Move["make"], isFault?: boolean) => void;

function addDeliveries(add: Add, message: InTransit, index: number, { budget, world }: SmallWorld): void {
  const name = (): string => describe(message);
  add(() => `${name()} arrives`, placeOf(message), (small) => arrive(small, index));
  if (message.kind !== "write" || message.isGivenUp) return;
  const { from, number } = message;
  const doubt: InTransit = { kind: "answer", to: from, number, outcome: { doubt: true } };
  // The answer to a dead worker is lost anyway.
  if (budget.lostAnswers > 0 && world.workers.has(from)) {
    add(() => `${name()} arrives, its answer is lost`, "store", (small) => {
      small.budget.lostAnswers--;
      small.pending.splice(index, 1);
      deliver(small.world, { ...message, isGivenUp: true });
      small.pending.push(doubt);
    }, true);
  }
  if (budget.lateLandings > 0) {
    add(() => `${name()} is given up`, "none", (small) => {
      small.budget.lateLandings--;
      small.pending[index] = { ...message, isGivenUp: true };
      small.pending.push(doubt);
    }, true);
  }
}

function placeOf(message: InTransit): string {
  return message.kind === "write" ? "store" : message.to;
}

function arrive(small: SmallWorld, index: number): void {
  const [message] = small.pending.splice(index, 1);
  if (message === undefined) return;
  const { world } = small;
  deliver(world, message);
  if (message.kind !== "model") return;
  const worker = world.workers.get(message.to);
  if (worker?.calls.has(message.call) !== true) return;
  endCall(world, worker, message.call, true);
}

/** Takes out the messages that change nothing any more, whenever they arrive. */
function dropSpent(small: SmallWorld): void {
  const { store, workers } = small.world;
  small.pending = small.pending.filter((message) => {
    if (message.kind === "write") return message.number > (store.numbers.get(message.from) ?? 0);
    const worker = workers.get(message.to);
    if (worker === undefined) return false;
    return message.kind === "model" ? worker.calls.has(message.call) : message.kind !== "acted" ||
      worker.acts.has(message.callId);
  });
}

function ask({ world, budget }: SmallWorld, n: number, { id, replaces }: SmallAsk): void {
  budget.asks[n]?.shift();
  const client = world.clients[n];
  if (client === undefined) return;
  const query = {
    kind: "query",
    queryId: id,
    turnId: "",
    content: id,
    options: {},
    priority: "normal",
    first: false,
    connectionId: "",
    feedback: [],
    stream: true,
    quotaKeys: [],
    ...(replaces !== undefined && { replaces }),
  } as const;
  send(world, client, freeze({ kind: "ask", query, policy: "queue", refusal: undefined }));
}

/** Its clients connect to the other worker at once, and send unanswered queries again. */
function kill(small: SmallWorld, id: string): void {
  const { world, budget } = small;
  budget.kills--;
  const lost = world.clients.filter(({ workerId }) => workerId === id);
  for (const client of lost) {
    if (client.seat !== undefined) client.lastSeq = Math.max(client.lastSeq, client.seat.seen);
  }
  killWorker(world, id);
  const [other] = world.workers.values();
  for (const client of lost) if (other !== undefined) connect(world, client, other);
}

function wake(world: World, id: string): void {
  const worker = world.workers.get(id);
  if (worker !== undefined) tell(world, worker, { kind: "wake" });
}

function poll(world: World, id: string): void {
  const worker = world.workers.get(id);
  if (worker !== undefined) tell(world, worker, { kind: "head", seq: world.store.events.length });
}

/** The next time at which something happens because of the clock only. */
function nextTime({ workers, now }: World): number | undefined {
  let next: number | undefined;
  for (const { wakeAt } of workers.values()) {
    if (wakeAt !== undefined && wakeAt > now && (next === undefined || wakeAt < next)) next = wakeAt;
  }
  return next;
}

/** Checks a state in which nothing more can happen by itself: then nothing may be pending. */
export function checkEnd({ world, budget }: SmallWorld): void {
  const { store, clients } = world;
  if (budget.asks.some((asks, n) => asks.length > 0 && clients[n]?.seat !== undefined)) return;
  check(
    store.openTurns.size === 0,
    () => `nobody answers ${[...store.openTurns.values()].map(({ query }) => query.queryId)}`,
  );
  for (const client of clients) {
    check(client.unanswered.size === 0, () => `${client.name} waits for ${[...client.unanswered.keys()]}`);
    check(
      client.seat?.seen === store.events.length,
      () => `${client.name} has seen ${client.seat?.seen} of ${store.events.length}`,
    );
    check(
      workerOf(world, client)?.state.flight === undefined,
      () => `${client.name}'s worker waits for an answer`,
    );
  }
}

/** The copy shares everything that a move does not change. */
export function copyOf({ world, budget, pending }: SmallWorld, at: string | undefined): SmallWorld {
  const copied: World = { ...world };
  if (at === undefined || at === "store") copied.store = copyOfStore(world.store);
  if (at !== "store" && at !== "none") copyWorkers(world, copied, at);
  const small = { world: copied, budget: clone(budget), pending: pending.slice() };
  copied.post = (message) => post(copied, small.pending, message);
  return small;
}

/** Copies the worker, or all of them, the clients, and what is remembered of both. */
function copyWorkers(world: World, copied: World, id: string | undefined): void {
  copied.workers = new Map(world.workers);
  for (const worker of world.workers.values()) {
    if (id === undefined || id === worker.id) copied.workers.set(worker.id, clone(worker));
  }
  copied.clients = clone(world.clients);
  copied.callsOf = new Map(world.callsOf);
  copied.writers = new Map(world.writers);
  copied.runs = new Map(world.runs);
  copied.wishes = clone(world.wishes);
  copied.granted = new Map(world.granted);
  copied.resent = new Set(world.resent);
  copied.counts = { ...world.counts };
}

/**
 * The relay carries doorbells and stops. Of several doorbells only the newest is needed; text is left out. What is in a message
 * cannot be changed any more, so all copies of the world share it.
 */
function post(world: World, pending: InTransit[], message: Message): void {
  freeze(message);
  if (message.kind === "read" || message.kind === "recall") return deliver(world, message);
  if (message.kind === "relay") {
    if (message.call.kind === "tail" || message.call.kind === "tail_wanted") return;
    if (message.call.kind === "appended") {
      const older = pending.findIndex((other) =>
        other.kind === "relay" && other.to === message.to && other.call.kind === "appended"
      );
      if (older >= 0) pending.splice(older, 1);
    }
  }
  pending.push(message);
}

function describe(message: InTransit): string {
  switch (message.kind) {
    case "write":
      return `write ${message.number} of ${message.from}${message.isGivenUp ? " (given up)" : ""} ${
        JSON.stringify(message.write)
      }`;
    case "answer":
      return `answer ${message.number} to ${message.to} ${"doubt" in message.outcome ? "(in doubt)" : ""}`;
    case "page":
      return `page for ${message.to} for ${
        "purpose" in message.event ? message.event.purpose.for : "history"
      }`;
    case "relay":
      return `${message.call.kind} for ${message.to}`;
    case "model":
      return `answer of ${message.turnId} for ${message.to}`;
    case "acted":
      return `end of ${message.callId} for ${message.to}`;
    case "replayed":
      return `replay to ${message.connectionId}`;
  }
}

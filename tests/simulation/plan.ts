/**
 * What clients do and what goes wrong in one run, derived from a seed. A part of a plan is also a plan: this is how
 * runs are shrunk.
 */

import type { QueuePolicy } from "../../supabase/functions/_shared/protocol/queueing.ts";
import type { SessionEvent } from "../../supabase/functions/_shared/session/core/event.ts";
import { Dice } from "./random.ts";

/** The fault of a worker's next write. */
export type Fate =
  /** It arrives after this delay. */
  | { name: "slow"; ms: number }
  /** It is executed, and its answer is lost. */
  | { name: "answer_lost" }
  /** It never arrives. */
  | { name: "lost" }
  /** The worker gives it up, and it arrives this long after that. */
  | { name: "late"; ms: number }
  /** The database refuses it. */
  | { name: "refused" };

export type Action =
  & { at: number }
  & (
    | {
      do: "ask";
      client: number;
      id: string;
      policy: QueuePolicy;
      priority: "high" | "normal" | "low";
      replaces?: string;
    }
    | { do: "stop"; client: number; which: "running" | "all" | { queryId: string } }
    | { do: "clear" | "configure" | "note"; client: number }
    | { do: "cut"; client: number; lost: number }
    | { do: "toggle"; client: number }
    | { do: "kill"; worker: number }
    | { do: "drain"; worker: number }
    | { do: "freeze"; worker: number; ms: number }
    | { do: "skew"; worker: number; ms: number }
    | { do: "away"; worker: number; ms: number }
    | { do: "fate"; worker: number; fate: Fate }
    | { do: "relay"; mode: "drop" | "double" | "slow"; ms: number }
  );

export interface Plan {
  seed: number;
  workers: number;
  clients: number;
  /** When faults stop, in milliseconds from the start. */
  endsAt: number;
  actions: Action[];
}

const POLICIES = ["queue", "queue", "queue", "reject", "interrupt", "latest"] as const;
/** Queries that take the place of an earlier one. The same id always replaces the same query. */
const REPLACING: readonly [Replacing, ...Replacing[]] = [
  ["r1", "q1"],
  ["r2", "q1"],
  ["r3", "q2"],
  ["r4", "r1"],
  ["r5", "q3"],
  ["t6", "t2"],
];
type Replacing = readonly [id: string, replaces: string];
/** The queries `t…` call tools (tools.ts). */
const IDS = ["q1", "t1", "q2", "t2", "q3", "t3", "t4", "t5"] as const;

/** A write with this delay is answered before the worker gives it up. */
const SLOW_BUT_WELL_MS = 700;
/** Every plan whose seed is a multiple of this is calm: see {@linkcode isCalm}. */
const CALM_EVERY = 8;

/** The plan of a seed: mostly client actions, and one fault for every two of them. */
export function planOf(seed: number): Plan {
  const dice = new Dice(seed);
  const workers = 1 + dice.below(3);
  const clients = 1 + dice.below(3);
  const endsAt = 2000 + dice.below(20_000);
  const actions: Action[] = [];
  const count = 4 + dice.below(30);
  const draw = seed % CALM_EVERY === 0 ? drawCalmAction : drawAction;
  for (let n = 0; n < count; n++) actions.push(draw(dice, { workers, clients, endsAt }));
  actions.sort((a, b) => a.at - b.at);
  return { seed, workers, clients, endsAt, actions };
}

/** Queries, cuts, relay faults, and writes that take so long that a client is back before they arrive. */
function drawCalmAction(dice: Dice, plan: Pick<Plan, "workers" | "clients" | "endsAt">): Action {
  const at = dice.below(plan.endsAt);
  const client = dice.below(plan.clients);
  const what = dice.below(100);
  if (what < 40) {
    const id = IDS[client + plan.clients * dice.below(Math.floor(IDS.length / plan.clients))] ?? "q1";
    return { at, do: "ask", client, id, policy: dice.pick(POLICIES), priority: "normal" };
  }
  if (what < 70) return { at, do: "cut", client, lost: dice.below(3) };
  if (what < 75) return { at, do: dice.pick(["toggle", "clear", "configure", "note"]), client };
  if (what < 93) {
    const ms = dice.pick([50, 300, SLOW_BUT_WELL_MS]);
    return { at, do: "fate", worker: dice.below(plan.workers), fate: { name: "slow", ms } };
  }
  return { at, do: "relay", mode: dice.pick(["drop", "double", "slow"]), ms: dice.pick([500, 5000]) };
}

function drawAction(dice: Dice, plan: Pick<Plan, "workers" | "clients" | "endsAt">): Action {
  const at = dice.below(plan.endsAt);
  const client = dice.below(plan.clients);
  const worker = dice.below(plan.workers);
  const what = dice.below(100);
  if (what < 42) {
    const priority = dice.pick(["high", "normal", "low"] as const);
    const policy = dice.pick(POLICIES);
    if (what >= 32) {
      const [id, replaces] = dice.pick(REPLACING);
      return { at, do: "ask", client, id, policy, priority, replaces };
    }
    return { at, do: "ask", client, id: dice.pick(IDS), policy, priority };
  }
  if (what < 52) {
    return {
      at,
      do: "stop",
      client,
      which: dice.pick(["running", "running", "all", { queryId: dice.pick(IDS) }]),
    };
  }
  if (what < 57) return { at, do: dice.pick(["clear", "configure", "note"]), client };
  if (what < 64) return { at, do: "cut", client, lost: dice.below(3) };
  if (what < 66) return { at, do: "toggle", client };
  if (what < 71) return { at, do: "kill", worker };
  if (what < 74) return { at, do: "drain", worker };
  if (what < 78) return { at, do: "freeze", worker, ms: dice.pick([200, 3000, 7000]) };
  if (what < 80) return { at, do: "skew", worker, ms: dice.pick([-400, 400, 3000]) };
  if (what < 84) return { at, do: "away", worker, ms: dice.pick([300, 2000, 8000]) };
  if (what < 95) return { at, do: "fate", worker, fate: drawFate(dice) };
  return { at, do: "relay", mode: dice.pick(["drop", "double", "slow"]), ms: dice.pick([500, 5000]) };
}

function drawFate(dice: Dice): Fate {
  const ms = dice.pick([0, 5, 50, 700, 3000, 6000]);
  return dice.pick<Fate>([
    { name: "slow", ms },
    { name: "answer_lost" },
    { name: "lost" },
    { name: "late", ms },
    { name: "late", ms },
    { name: "refused" },
  ]);
}

/** Whether nothing in the plan could make a second model call for a query necessary. */
export function isCalm({ actions }: Plan): boolean {
  const asked = new Map<string, number>();
  for (const action of actions) {
    if (action.do === "ask") {
      if ((asked.get(action.id) ?? action.client) !== action.client) return false;
      asked.set(action.id, action.client);
    } else if (action.do === "fate") {
      if (action.fate.name !== "slow" || action.fate.ms > SLOW_BUT_WELL_MS) return false;
    } else if (!["clear", "configure", "note", "cut", "toggle", "relay"].includes(action.do)) return false;
  }
  return true;
}

/** A query as a client sends it; its turn and connection are set later. */
export function askOf(
  { id, policy, priority, replaces }: Pick<
    Extract<Action, { do: "ask" }>,
    "id" | "policy" | "priority" | "replaces"
  >,
): Extract<SessionEvent, { kind: "ask" }> {
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
    quotaKeys: [],
    ...(replaces !== undefined && { replaces }),
  } as const;
  return { kind: "ask", query, policy, refusal: undefined };
}

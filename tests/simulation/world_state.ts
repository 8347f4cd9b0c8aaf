/** Workers, clients, a store, a relay and a model, as plain data. Anything in transit is a {@linkcode Message}. */

import type { LogWrite } from "../../supabase/functions/_shared/ports/event_log.ts";
import type { SessionCall } from "../../supabase/functions/_shared/protocol/session_call.ts";
import type { Effect, ReadPurpose } from "../../supabase/functions/_shared/session/core/effect.ts";
import type { SessionEvent } from "../../supabase/functions/_shared/session/core/event.ts";
import type { CoreSettings, SessionState } from "../../supabase/functions/_shared/session/core/state.ts";
import type { Seat } from "./observer.ts";
import { newStore, type Outcome, type Store } from "./store.ts";
import type { Granted } from "./wishes.ts";

export interface Worker {
  /** Unique for each start of a worker. */
  id: string;
  state: SessionState;
  /** How far its clock is ahead, in milliseconds. */
  skewMs: number;
  /** Model calls that were begun and are neither ended nor given up. */
  calls: Set<number>;
  /** By turn id, the newest `seq` that the prompt of its model call knows, until it is known what comes before the turn's question. */
  known: Map<string, number>;
  /** Tools that it runs. */
  acts: Set<string>;
  /** Queries for which it has called the model, and which their client had sent before. */
  callsForResent: Set<string>;
  /** When it must be woken, in milliseconds of the world; undefined if it need not be woken. */
  wakeAt: number | undefined;
  isDrained: boolean;
}

export interface Client {
  name: string;
  /** The worker that it is connected to. */
  workerId: string | undefined;
  seat: Seat | undefined;
  /** The newest `seq` it has, over all its connections. */
  lastSeq: number;
  wantsDeltas: boolean;
  wantsReasoning: boolean;
  connections: number;
  /** Queries without an acknowledgement or a refusal: the client sends them again. */
  unanswered: Map<string, Extract<SessionEvent, { kind: "ask" }>>;
}

export type Message =
  | { kind: "write"; from: string; number: number; write: LogWrite; isGivenUp: boolean }
  | { kind: "answer"; to: string; number: number; outcome: Outcome | { doubt: true } }
  | { kind: "read"; from: string; purpose: ReadPurpose; afterSeq: number }
  | { kind: "recall"; from: string; beforeSeq: number; limit: number }
  | {
    kind: "page";
    to: string;
    event: Extract<SessionEvent, { kind: "page" | "read_failed" | "recalled" | "recall_failed" }>;
  }
  | { kind: "relay"; to: string; call: SessionCall }
  /** A piece of an answer. `begins`: it is the first one of a new answer, which replaces the text so far. */
  | { kind: "model"; to: string; call: number; turnId: string; piece: number; begins?: boolean }
  | { kind: "replayed"; to: string; connectionId: string; seq: number }
  /** A tool has ended. */
  | { kind: "acted"; to: string; callId: string };

/** A requested stop, and the store's state at that time. */
export interface Wish {
  queryId: string | undefined;
  running: readonly string[];
  /** Queries that were sent again after it. */
  askedAgain: Set<string>;
}

export interface World {
  now: number;
  settings: CoreSettings;
  store: Store;
  workers: Map<string, Worker>;
  clients: Client[];
  /** Model calls begun, by query, except those that were given up because another worker had the query. */
  callsOf: Map<string, number>;
  /** The texts that workers have had of a turn, by turn id; of texts of which one begins with the other, the longer one. */
  texts: Map<string, string[]>;
  /** Which worker has written text under an epoch. */
  writers: Map<number, string>;
  /** How often each tool call has run. */
  runs: Map<string, number>;
  wishes: Map<string, Wish>;
  granted: Granted;
  /** Turns that were asked for when their client had sent the query before. */
  resent: Set<string>;
  counts: { steps: number; ids: number; vainResends: number };
  /** Passes a message to the mode that runs the world. */
  post(message: Message): void;
  /** A client is shown a call that somebody must decide about, or that a client must answer. */
  onWaiting?(client: Client, callId: string): void;
  /** Called for each effect that a client or a reader of a transcript could see. */
  onEffect?(worker: Worker, effect: Effect): void;
  onEvent?(worker: Worker, event: SessionEvent): void;
}

/** The settings of a worker, unless a world has others. */
export const SETTINGS: CoreSettings = {
  // So few that some of it is read again after a question was replaced.
  maxHistory: 6,
  maxEvents: 1000,
  maxQueue: 4,
  continuePolicy: "auto",
  checkpointMs: 500,
  leaseMs: 5000,
  renewLeaseMs: 1500,
  approvalMs: 8000,
};

export interface WorldOptions {
  settings: CoreSettings;
  clients: readonly string[];
  startAt?: number;
  post(message: Message): void;
}

export function newWorld({ settings, clients, startAt = 1_000_000, post }: WorldOptions): World {
  return {
    now: startAt,
    settings,
    store: newStore(settings.leaseMs),
    workers: new Map(),
    clients: clients.map(newClient),
    callsOf: new Map(),
    texts: new Map(),
    writers: new Map(),
    runs: new Map(),
    wishes: new Map(),
    granted: new Map(),
    resent: new Set(),
    counts: { steps: 0, ids: 0, vainResends: 0 },
    post,
  };
}

/** A client that has not connected yet. */
export function newClient(name: string): Client {
  return {
    name,
    workerId: undefined,
    seat: undefined,
    lastSeq: 0,
    wantsDeltas: true,
    wantsReasoning: true,
    connections: 0,
    unanswered: new Map(),
  };
}

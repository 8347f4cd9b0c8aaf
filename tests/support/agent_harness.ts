/** An agent without a runtime or a network: real sessions on fake sockets, with a manual clock and a scripted model. */

import assert from "node:assert/strict";
import { AgentActivity } from "../../supabase/functions/_shared/activity/agent_activity.ts";
import type { ActivityReporter } from "../../supabase/functions/_shared/activity/reporter.ts";
import { addressKey } from "../../supabase/functions/_shared/guard/address.ts";
import { BytePool } from "../../supabase/functions/_shared/guard/byte_pool.ts";
import { publishableKeyMatcher } from "../../supabase/functions/_shared/guard/keys.ts";
import { MemoryBudget } from "../../supabase/functions/_shared/guard/memory_budget.ts";
import { RateLimiter } from "../../supabase/functions/_shared/guard/rate_limiter.ts";
import { NO_LEDGER, SharedUse } from "../../supabase/functions/_shared/guard/shared_use.ts";
import { Slots } from "../../supabase/functions/_shared/guard/slots.ts";
import { Metrics } from "../../supabase/functions/_shared/metrics.ts";
import { OnDemand } from "../../supabase/functions/_shared/on_demand.ts";
import type { Agent } from "../../supabase/functions/_shared/ports/agent.ts";
import type { EventLog } from "../../supabase/functions/_shared/ports/event_log.ts";
import type { LanguageModel } from "../../supabase/functions/_shared/ports/model.ts";
import type { UseLedger } from "../../supabase/functions/_shared/ports/quota.ts";
import type { Ids, LogEntry, Socket } from "../../supabase/functions/_shared/ports/runtime.ts";
import type { ConversationStore } from "../../supabase/functions/_shared/ports/conversation_store.ts";
import type { SessionStore } from "../../supabase/functions/_shared/ports/session_store.ts";
import type { AttemptLedger, GenerationReader } from "../../supabase/functions/_shared/ports/usage.ts";
import { parseConnectRequest } from "../../supabase/functions/_shared/protocol/connect_request.ts";
import { type Decode, decode } from "../../supabase/functions/_shared/protocol/decode.ts";
import { anyServerFrame, type ServerFrame } from "../../supabase/functions/_shared/protocol/server_frames.ts";
import {
  AgentServer,
  type AgentServerOptions,
} from "../../supabase/functions/_shared/session/agent_server.ts";
import type { Connection } from "../../supabase/functions/_shared/session/connection.ts";
import { MemoryStore } from "../../supabase/functions/_shared/session/memory_store.ts";
import type { SessionSettings } from "../../supabase/functions/_shared/session/session_options.ts";
import { TitleMaker } from "../../supabase/functions/_shared/session/title_maker.ts";
import { WakeTimes } from "../../supabase/functions/_shared/session/wake_times.ts";
import { AttemptAccounts } from "../../supabase/functions/_shared/usage/attempt_accounts.ts";
import { MemoryLedger } from "../../supabase/functions/_shared/usage/memory_ledger.ts";
import { FakeVerifier } from "./fake_verifier.ts";
import { ManualClock, settle } from "./manual_clock.ts";
import { offerTo } from "./offers.ts";
import { ScriptedModel } from "./scripted_model.ts";

export const PUBLISHABLE_KEY = "sb_publishable_test";

export interface AgentOptions {
  mode?: "required" | "optional" | "none";
  settings?: Partial<SessionSettings>;
  server?: Partial<Omit<AgentServerOptions, "registry" | "connection" | "identity" | "admission">>;
  /** Limits on connections per worker, per user and per address, and on new anonymous sessions per address and hour. */
  maxConnections?: number;
  maxConnectionsPerUser?: number;
  maxConnectionsPerAddress?: number;
  sessionsPerHour?: number;
  perMinute?: number;
  burst?: number;
  maxMessageBytes?: number;
  maxBufferedBytes?: number;
  maxSessions?: number;
  /** Decodes the client's frames. Default: a decoder that is loaded already. */
  decoder?: OnDemand<Decode>;
  waiting?: BytePool;
  maxEvents?: number;
  maxMemoryBytes?: number;
  tokensPerDay?: number;
  costPerDay?: number;
  /** The accounts of requests to the provider. Default: in memory, if there is a budget. */
  attempts?: AttemptLedger;
  /** Asks the provider later what a request has used. Default: it cannot be asked. */
  reader?: GenerationReader;
  /** Answers instead of the scripted model. */
  provider?: LanguageModel;
  /** What the sessions have of their own. Default: nothing. */
  agent?: Agent;
  /** Instead of `agent`: one for each session. */
  agentOf?: AgentServerOptions["registry"]["session"]["agentOf"];
  /** Makes the reporter of live activity. Default: none. */
  makeActivity?: (clock: ManualClock) => ActivityReporter;
  /** Default: a memory store. */
  store?: SessionStore & ConversationStore & EventLog;
  /** Can be shared between several workers. By default each has its own. */
  clock?: ManualClock;
  model?: ScriptedModel;
  ids?: Ids;
  /** Whether sessions outlive this worker, because other workers use the store too. */
  isDurable?: boolean;
  /** The usage ledger, if workers share one. */
  ledger?: UseLedger;
  prune?: () => Promise<unknown>;
  /** The model that makes titles. Default: none. */
  titleModel?: string;
  /** Settles when it is known which store is in use. */
  ready?: () => Promise<void>;
  /** The idle timeout of a session, in milliseconds. Default: 30 minutes. */
  idleTimeoutMs?: number;
  /** Sends calls to other workers. */
  call?: RunnerCall;
  /** Offers pieces of the answer to other workers. Default: they are passed to `call` in a later microtask. */
  offer?: RunnerOffer;
}

type RunnerCall = AgentServerOptions["registry"]["session"]["call"];
type RunnerOffer = AgentServerOptions["registry"]["session"]["offer"];

/** Ids numbered in the order of the requests, in the format of the real ones. */
export class CountedIds implements Ids {
  #count = 0;

  uuid(): string {
    return `00000000-0000-4000-8000-${String(++this.#count).padStart(12, "0")}`;
  }

  secret(): string {
    return `secret-${++this.#count}`.padEnd(43, "x");
  }
}

/** A server frame of any type, with access to every field. */
export type SeenFrame = ServerFrame & { readonly [field: string]: unknown };

/** The client's end of one connection. Every received frame is checked against the schemas. */
export class TestClient implements Socket {
  /** All frames received, oldest first. */
  readonly frames: SeenFrame[] = [];
  bufferedAmount = 0;
  /** How much each sent frame adds to `bufferedAmount`. Set it to 1 for a client that does not read. */
  stuffing = 0;
  closed: { code: number; reason: string } | undefined;
  #connection: Connection | undefined;

  get isOpen(): boolean {
    return this.closed === undefined;
  }

  attach(connection: Connection): void {
    this.#connection = connection;
  }

  get connection(): Connection {
    assert.ok(this.#connection);
    return this.#connection;
  }

  send(text: string): void {
    assert.equal(this.closed, undefined, "sent after close");
    const frame: unknown = JSON.parse(text);
    const checked = anyServerFrame.safeParse(frame);
    assert.ok(checked.success, `not in the schema: ${text}`);
    this.frames.push(frame as SeenFrame);
    this.bufferedAmount += this.stuffing * text.length;
  }

  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
  }

  /** Sends a frame. Text and bytes are sent unchanged. */
  say(frame: string | ArrayBuffer | Record<string, unknown>): void {
    this.connection.received(
      typeof frame === "string" || frame instanceof ArrayBuffer ? frame : JSON.stringify(frame),
    );
  }

  /** Sends a query. */
  ask(content: string, fields: Record<string, unknown> = {}): void {
    this.say({ type: "query", content, ...fields });
  }

  command(verb: string, args?: Record<string, unknown>, id?: string): void {
    this.say({ type: "command", content: verb, ...(args && { args }), ...(id && { id }) });
  }

  /** The socket is lost without a close frame. */
  vanish(): void {
    this.connection.lost(1006);
  }

  /** The frames of a type, and of a code if one is given. */
  of(type: string, code?: string): SeenFrame[] {
    return this.frames.filter((frame) => frame.type === type && (code === undefined || frame.code === code));
  }

  /** The only frame of a type (and code). Fails if there is none, or more than one. */
  only(type: string, code?: string): SeenFrame {
    const found = this.of(type, code);
    const [frame] = found;
    assert.ok(
      frame !== undefined && found.length === 1,
      `expected one ${type} ${code ?? ""}, got ${found.length} in ${JSON.stringify(this.frames)}`,
    );
    return frame;
  }

  get welcome(): SeenFrame {
    return this.only("notification", "connected");
  }

  get sessionId(): string {
    return String(this.welcome.session_id);
  }

  /** The query parameters that resume this client's session. */
  resumeQuery(lastSeq: number): string {
    const token = this.welcome.resume_token === undefined ? "" : `&resume_token=${this.welcome.resume_token}`;
    return `session_id=${this.sessionId}&last_seq=${lastSeq}${token}`;
  }

  /** The `seq` of each durable event received. */
  get seqs(): number[] {
    return this.frames.flatMap((frame) => typeof frame.seq === "number" ? [frame.seq] : []);
  }

  /** The text that a client builds from deltas alone. */
  textOf(turnId: unknown): string {
    let text = "";
    for (const frame of this.frames) {
      if (frame.type === "delta" && frame.turn_id === turnId) {
        text = text.slice(0, frame.offset) + frame.content;
      }
    }
    return text;
  }
}

export interface TestAgent {
  clock: ManualClock;
  model: ScriptedModel;
  verifier: FakeVerifier;
  server: AgentServer;
  metrics: Metrics;
  memory: MemoryBudget;
  store: SessionStore & ConversationStore & EventLog;
  logged: LogEntry[];
  /** Promises that keep the worker alive until they settle. */
  held: Promise<unknown>[];
  /**
   * Opens a connection with this query string and these headers, without waiting for anything. Each connection comes
   * from an address of its own, unless `x-forwarded-for` is given.
   */
  dial(query?: string, headers?: Record<string, string>): TestClient;
  /** Like {@linkcode dial}, but waits until the connection has a session, was refused, or is asked for a token. */
  connect(query?: string, headers?: Record<string, string>): Promise<TestClient>;
}

/**
 * Waits until `condition` is true. A resume token is hashed on another thread, so the number of event loop turns is not
 * known in advance.
 */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    assert.ok(turn < 1_000_000, "the condition did not become true");
    await settle(1);
  }
}

/**
 * An agent with the defaults of `.env.example`, except for `AUTH_MODE=optional` and no rate limit. `options` override
 * them.
 */
export function startAgent(options: AgentOptions = {}): TestAgent {
  const { clock = new ManualClock(), model = new ScriptedModel(), isDurable = false } = options;
  const { call = (): void => {} } = options;
  const verifier = new FakeVerifier(clock);
  const metrics = new Metrics();
  const logged: LogEntry[] = [];
  const held: Promise<unknown>[] = [];
  const log = { write: (entry: LogEntry): void => void logged.push(entry) };
  const maxEvents = options.maxEvents ?? 1000;
  const memory = new MemoryBudget(options.maxMemoryBytes ?? 0);
  const store = options.store ?? new MemoryStore({ clock, maxEvents, memory });
  const rateLimiter = new RateLimiter(clock, {
    perMinute: options.perMinute ?? 0,
    burst: options.burst ?? 20,
  });
  const ids = options.ids ?? new CountedIds();
  const budget = { tokens: options.tokensPerDay ?? 0, cost: options.costPerDay ?? 0 };
  const hasBudget = budget.tokens > 0 || budget.cost > 0;
  const attempts = options.attempts ?? (hasBudget ? new MemoryLedger({ clock, budget }) : undefined);
  const lifetime = { hold: (work: Promise<unknown>): void => void held.push(work) };
  const use = new SharedUse({
    clock,
    log,
    lifetime,
    limiter: rateLimiter,
    connections: new Slots(),
    ledger: options.ledger ?? NO_LEDGER,
    isShared: () => options.ledger !== undefined,
  });
  const accounts = new AttemptAccounts({
    clock,
    // Not those of the frames: their numbers are in the tests.
    ids: { uuid: () => crypto.randomUUID() },
    log,
    metrics,
    lifetime,
    budget,
    ledger: () => attempts,
    reader: options.reader,
  });
  const server = new AgentServer({
    identity: {
      mode: options.mode ?? "optional",
      verifier,
      isPublishableKey: publishableKeyMatcher([PUBLISHABLE_KEY]),
    },
    registry: {
      store,
      isDurable: () => isDurable,
      ...(options.prune && { prune: options.prune }),
      ...(options.ready && { ready: options.ready }),
      session: {
        clock,
        ids,
        call,
        offer: options.offer ?? offerTo(call),
        checkpointMs: 500,
        leaseMs: 5000,
        renewLeaseMs: 1500,
        log,
        metrics,
        memory,
        activity: options.makeActivity?.(clock) ??
          new AgentActivity({ isWatched: false, broadcast: () => {} }, clock),
        model: options.provider ?? model,
        eventLog: store,
        wakeTimes: new WakeTimes(clock),
        titles: options.titleModel === undefined ? undefined : new TitleMaker({
          name: options.titleModel,
          model: options.provider ?? model,
          store,
          accounts,
          clock,
          log,
          lifetime,
        }),
        accounts,
        lifetime,
        agentOf: options.agentOf ?? (() => options.agent),
        settings: {
          systemPrompt: "You are a test.",
          models: ["test/model"],
          allowedModels: ["test/model", "test/other"],
          temperature: 0.7,
          maxTokens: 1500,
          maxHistory: 50,
          maxEvents,
          maxQueue: 20,
          queuePolicy: "queue",
          continuePolicy: "auto",
          approvalMs: 60_000,
          approvers: ["user"],
          ...options.settings,
        },
      },
      idleTimeoutMs: options.idleTimeoutMs ?? 30 * 60_000,
      sweepIntervalMs: 300_000,
      maxSessions: options.maxSessions ?? 5000,
    },
    connection: {
      clock,
      log,
      metrics,
      memory,
      rateLimiter,
      waiting: options.waiting ?? new BytePool({ memory: memory.account(0) }),
      decoder: options.decoder ?? OnDemand.of(decode),
      maxMessageBytes: options.maxMessageBytes ?? 65_536,
      maxBufferedBytes: options.maxBufferedBytes ?? 1_048_576,
    },
    admission: {
      maxConnections: options.maxConnections ?? 1000,
      maxConnectionsPerUser: options.maxConnectionsPerUser ?? 10,
      maxConnectionsPerAddress: options.maxConnectionsPerAddress ?? 0,
      addresses: new Slots(),
      use,
      newSessions: new RateLimiter(clock, {
        perMinute: (options.sessionsPerHour ?? 0) / 60,
        burst: options.sessionsPerHour ?? 0,
      }),
      memory,
    },
    authTimeoutMs: 5000,
    tokenExpiryNoticeMs: 60_000,
    heartbeatIntervalMs: 25_000,
    drainTimeoutMs: 10_000,
    limits: { max_message_bytes: 65_536 },
    ...options.server,
  });
  let dialled = 0;
  function dial(query = "", headers: Record<string, string> = {}): TestClient {
    const url = new URL(`http://localhost/agent_websocket?${query}`);
    const client = new TestClient();
    const all = new Headers(headers);
    const peer = { remoteAddr: { hostname: `10.0.${++dialled >> 8}.${dialled & 0xff}` } };
    const address = addressKey(all, peer, { header: undefined, proxyHops: 1 });
    client.attach(server.connect(client, { ...parseConnectRequest(url, all), address }));
    client.connection.opened();
    return client;
  }
  async function connect(query?: string, headers?: Record<string, string>): Promise<TestClient> {
    const client = dial(query, headers);
    const { token } = client.connection.request;
    const mustStillSay = options.mode === "required" && (token === undefined || token === PUBLISHABLE_KEY);
    if (!mustStillSay) await until(() => client.connection.state !== "opening");
    await settle();
    return client;
  }
  return { clock, model, verifier, server, metrics, memory, store, logged, held, dial, connect };
}

/** The newest `seq` sent to a client, from its session's cursor; 0 before it has a session. */
export function cursorOf({ connection }: TestClient): number {
  return connection.session?.cursorOf(connection) ?? 0;
}

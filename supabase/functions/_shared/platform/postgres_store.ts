/**
 * Sessions, their logs and the accounts in the project's database, through the functions of `supabase/migrations`.
 *
 * Whatever changes something may be sent twice without harm, as an answer may be lost: commits and reports are numbered,
 * and the database does each number once; the other calls are idempotent by their content.
 */

import { AgentError } from "../errors.ts";
import type {
  Committed,
  EventLog,
  Feedback,
  LogPage,
  LogRange,
  LogWrite,
  VisiblePage,
  VisibleRange,
} from "../ports/event_log.ts";
import type { ApprovalStore, Decision } from "../ports/approvals.ts";
import type { Delivered, DeliveryRequest, NotificationStore } from "../ports/notifications.ts";
import type { QuotaUsage, UseLedger, UseReport } from "../ports/quota.ts";
import type { Clock, Ids } from "../ports/runtime.ts";
import type { AttemptLedger, DailyBudget } from "../ports/usage.ts";
import { GroupCommit, LOCKED, type Pending } from "./group_commit.ts";
import { toWriteJson, writeChars } from "./log_write_json.ts";
import { MAX_PAGE_BYTES, PostgresSessions, toClaims, UUID } from "./postgres_sessions.ts";
import { PostgresUsage } from "./postgres_usage.ts";
import { type Pruned, pruneInSteps } from "./retention.ts";
import {
  isRetry,
  items,
  noError,
  readAnswer,
  refusal,
  toCommitted,
  toDelivered,
  toHeads,
  toPage,
  toPruned,
  toQuotaUsages,
  toVersion,
  toVisiblePage,
} from "./store_answers.ts";
import { callStore } from "./store_call.ts";
import {
  isMissingFunction,
  isNoStore,
  RefusedCall,
  type StoreJs,
  StoreRpc,
  storeUnavailable,
} from "./store_rpc.ts";

/** Which version of the migration's functions this speaks with. */
const STORE_VERSION = 1;

const MAX_BATCH = 200;
const MAX_BATCH_CHARS = 512 * 1024;
const MAX_WAITING_CHARS = 16 * 1024 * 1024;

export interface PostgresStoreOptions {
  /** The project's URL, without a slash at its end. */
  supabaseUrl: string;
  /** `sb_secret_…`, or the legacy service role key. */
  secretKey: string;
  clock: Clock;
  ids: Pick<Ids, "uuid">;
  /** The owner of leases and connections. Unique for each life of a worker. */
  workerId: string;
  /** How long a lease lasts that is not renewed, in milliseconds. */
  leaseMs: number;
  /** A notification to a user goes to the sessions that were used in this many milliseconds; 0: to all. */
  idleTimeoutMs: number;
  /** The bucket of {@linkcode UseLedger}. Default: 60 frames a minute, 20 at once. */
  rate?: { perMinute: number; burst: number };
  /** What a user may use in a day. Default: no limit. */
  budget?: DailyBudget;
  /** How long a write (of a log, or of a notification) may take, with its waiting and all attempts. Default 15,000. */
  commitWithinMs?: number;
  /** How long anything else may take with all attempts. Default 4,000. */
  readWithinMs?: number;
  /** How long one attempt may take. Default 5,000. */
  attemptMs?: number;
  /** Default `Math.random`. */
  random?(): number;
  /** Loads supabase-js. Default: a dynamic import. */
  load?(): Promise<StoreJs>;
}

/** A write's answer and its greatest possible age: the answer to a first attempt may arrive with the second. */
type Answered = { answer: unknown; ageMs: number };

/** supabase-js is loaded with the first call: it takes some 30 ms of a worker's CPU. */
export class PostgresStore extends PostgresSessions
  implements EventLog, UseLedger, NotificationStore, ApprovalStore {
  /** The accounts of requests to the provider. */
  readonly usage: AttemptLedger;
  readonly #options: Required<Omit<PostgresStoreOptions, "load" | "random" | "budget">>;
  readonly #rpc: StoreRpc;
  readonly #commits: GroupCommit<LogWrite, Answered>;
  /** The last call number, of commits and reports. A worker that restarts with the same id continues above its old numbers. */
  #number: number;
  #settling: Promise<unknown> = Promise.resolve();

  constructor(options: PostgresStoreOptions) {
    const {
      rate = { perMinute: 60, burst: 20 },
      budget = { tokens: 0, cost: 0 },
      commitWithinMs = 15_000,
      readWithinMs = 4000,
      attemptMs = 5000,
      random = Math.random,
      load = () => import("@supabase/supabase-js"),
    } = options;
    const { supabaseUrl, secretKey, clock, workerId } = options;
    const rpc = new StoreRpc({ supabaseUrl, secretKey, clock, attemptMs, random, load });
    super({ rpc, workerId, withinMs: readWithinMs });
    this.#options = { ...options, rate, commitWithinMs, readWithinMs, attemptMs };
    this.#rpc = rpc;
    this.usage = new PostgresUsage({ rpc, clock, workerId, budget, withinMs: commitWithinMs });
    this.#number = clock.now();
    this.#commits = new GroupCommit({
      clock,
      send: (batch, withinMs) => this.#sendBatch(batch, withinMs),
      withinMs: commitWithinMs,
      maxBatch: MAX_BATCH,
      maxBatchChars: MAX_BATCH_CHARS,
      maxWaitingChars: MAX_WAITING_CHARS,
    });
  }

  /**
   * Whether the migration was applied, as far as the REST API knows. Rejects with `store_unavailable` if the API does not answer,
   * the key is no good, or something else answered than the function.
   */
  async probe(): Promise<"postgres" | "missing"> {
    try {
      const version = await this.#rpc.call("agent_store_version", {}, this.#options.readWithinMs, isNoStore);
      return readAnswer(version, toVersion) === STORE_VERSION ? "postgres" : "missing";
    } catch (error) {
      const cause = error instanceof AgentError ? error.cause : error;
      if (cause instanceof RefusedCall && isMissingFunction(cause)) return "missing";
      throw storeUnavailable(error);
    }
  }

  async commit(sessionId: string, write: LogWrite): Promise<Committed> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    const { answer, ageMs } = await this.#commits.commit({ sessionId, write, chars: writeChars(write) });
    return readAnswer(answer, (done) => toCommitted(write, noError(done), ageMs));
  }

  async read(sessionId: string, { afterSeq, limit }: LogRange): Promise<LogPage> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    return await this.#call("agent_read_events", {
      p_session: sessionId,
      p_after: afterSeq,
      p_limit: limit,
      p_max_bytes: MAX_PAGE_BYTES,
      p_worker: this.#options.workerId,
    }, toPage);
  }

  async readVisible(sessionId: string, { beforeSeq, limit }: VisibleRange): Promise<VisiblePage> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    return await this.#call("agent_read_visible", {
      p_session: sessionId,
      p_before: beforeSeq,
      p_limit: limit,
      p_max_bytes: MAX_PAGE_BYTES,
    }, toVisiblePage);
  }

  async heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const known = sessionIds.filter((id) => UUID.test(id));
    if (known.length === 0) return new Map();
    return await this.#call("agent_heads", { p_sessions: known }, toHeads);
  }

  async recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    return await this.#call("agent_record_feedback", {
      p_call: this.#options.ids.uuid(),
      p_session: sessionId,
      p_id: feedback.id,
      p_turn: feedback.turnId,
      p_verdict: feedback.verdict ?? null,
      p_rating: feedback.rating ?? null,
      p_comment: feedback.comment,
    }, (answer) => ({ repeated: noError(answer).repeated === true }));
  }

  /** One report at a time: a number is refused after a later one. */
  async report(reports: readonly UseReport[]): Promise<ReadonlyMap<string, QuotaUsage>> {
    const { workerId, rate, clock } = this.#options;
    const settled = this.#settling.then(() =>
      this.#call("agent_settle_use", {
        p_worker: workerId,
        p_number: ++this.#number,
        p_reports: reports.map(({ framesSince, ...report }) => ({
          ...report,
          age_ms: Math.max(0, clock.now() - framesSince),
          // Counted by workers of the version before; now in agent_usage.
          tokens: 0,
        })),
        p_per_minute: rate.perMinute,
        p_burst: rate.burst,
      }, (answer) => toQuotaUsages(noError(answer)))
    );
    this.#settling = settled.catch(() => {});
    return await settled;
  }

  async deliver({ id, fingerprint, caller, target, notification }: DeliveryRequest): Promise<Delivered> {
    if (target.kind === "session" && !UUID.test(target.sessionId)) throw refusal("unknown_session");
    return await this.#call(
      "agent_notify",
      {
        p_call: this.#options.ids.uuid(),
        p_id: id,
        p_fingerprint: fingerprint,
        p_caller: caller ?? null,
        p_session: target.kind === "session" ? target.sessionId : null,
        p_user: target.kind === "user" ? target.userId : null,
        p_event: notification ?? null,
        p_idle_ms: target.kind === "user" ? this.#options.idleTimeoutMs : 0,
      },
      toDelivered,
      this.#options.commitWithinMs,
    );
  }

  async decide({ sessionId, approvalId, claims, ...decision }: Decision): Promise<{ seq: number }> {
    if (!UUID.test(sessionId)) throw refusal("unknown_session");
    return await this.#call("agent_decide", {
      p_session: sessionId,
      p_approval: approvalId,
      p_claims: claims === undefined ? null : toClaims(claims),
      p_event: decision,
    }, (answer) => ({ seq: Number(noError(answer).seq) }));
  }

  /**
   * Ends turns without a worker, and deletes sessions unused for this many days (0: none, ever). The database's own
   * scheduler uses the same number from then on. Works in steps, up to a limit: `more` says whether rows are left.
   */
  async prune(days: number): Promise<Pruned> {
    return await pruneInSteps((limit) =>
      this.#call("agent_upkeep", { p_retention_days: days, p_limit: limit }, toPruned)
    );
  }

  async #sendBatch(
    batch: readonly Pending<LogWrite>[],
    withinMs: number,
  ): Promise<readonly (Answered | typeof LOCKED)[]> {
    const { clock, workerId, leaseMs } = this.#options;
    const sentAt = clock.now();
    const [first, ...others] = batch.map(({ sessionId, write }) => toWriteJson(sessionId, write));
    const answer = await this.#rpc.call("agent_commit", {
      p_worker: workerId,
      p_number: ++this.#number,
      p_lease_ms: leaseMs,
      // The first one speaks for the whole batch.
      p_writes: [{ ...first, may_retry: true }, ...others],
    }, withinMs);
    const ageMs = clock.now() - sentAt;
    return readAnswer(answer, items).map((answer) => isRetry(answer) ? LOCKED : { answer, ageMs });
  }

  async #call<T>(
    name: string,
    args: Record<string, unknown>,
    use: (answer: unknown) => T,
    withinMs: number = this.#options.readWithinMs,
  ): Promise<T> {
    return await callStore(this.#rpc, { name, args, withinMs, use });
  }
}

/**
 * The outside world, in the words of the code that needs it.
 *
 * Nothing in `_shared` reads the time, the environment, randomness or the network except through these. Each port has
 * a contract suite in `tests/contract/` where it has more than one implementation.
 */

import type { QueryOptions } from "./protocol/client_frames.ts";
import type {
  CancelledEvent,
  LogEvent,
  Logged,
  NewLogEvent,
  NotificationEvent,
  QueryEvent,
  Usage,
} from "./protocol/log_event.ts";

/** Ends a timer; calling it again, or after it fired, does nothing. */
export type CancelTimer = () => void;

/** The time, and timers. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `task` once, `delayMs` milliseconds from now: any number of them, also more than `setTimeout` can hold. */
  after(delayMs: number, task: () => void): CancelTimer;
}

/** Random values. */
export interface Ids {
  /** A random UUID (version 4). */
  uuid(): string;
  /** 256 random bits in base64url: 43 characters. */
  secret(): string;
}

/** The sending half of one WebSocket that is open. Neither method throws. */
export interface Socket {
  /** Bytes accepted by `send` that have not left this process yet. */
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code: number, reason: string): void;
}

/** How much a line of the log matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line of the log. Never user text, tokens or keys. */
export interface LogEntry {
  level: LogLevel;
  /** A fixed name such as `turn_ended`; everything that varies is in the other fields. */
  event: string;
  [field: string]: unknown;
}

/** Where lines of the log go. */
export interface Log {
  write(entry: LogEntry): void;
}

/** Keeps the worker alive for as long as a promise is pending (Supabase: `EdgeRuntime.waitUntil`). */
export interface WorkerLifetime {
  hold(work: Promise<unknown>): void;
}

/** A user whose token was verified. */
export interface VerifiedUser {
  userId: string;
  /** When the token ends, in milliseconds since the epoch. */
  expiresAt: number;
  /** The claim `app_metadata`, which only the project's own server can set. */
  appMetadata?: Readonly<Record<string, unknown>>;
}

/** Verifies access tokens. */
export interface IdentityVerifier {
  /**
   * Checks a user's access token: signature, algorithm, `iss`, `exp`, `nbf`, `aud`. Checks that cost a request are limited by the
   * caller's `address`. Rejects with an {@linkcode AgentError}: `unauthorized` for an invalid token; `store_unavailable`
   * (retryable) if the keys could not be fetched, `rate_limited` (retryable) over the limit.
   */
  verify(token: string, address?: string): Promise<VerifiedUser>;
}

/** One message of a chat completion. */
export interface ModelMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A request to the model. */
export interface ModelRequest {
  messages: readonly ModelMessage[];
  /** The wanted model first, then the ones to fall back to. Never empty. */
  models: readonly string[];
  temperature: number;
  maxTokens: number;
}

/** How a reply ended. Its text has been handed to `onText` by then. */
export interface ModelReply {
  /** `stop`, `length`, `content_filter`, or whatever else the provider says. */
  finishReason: string;
  /** The model that answered: not the first one asked for, after a fallback. */
  model: string;
  usage?: Usage;
}

/** Receives a reply, and aborts it. */
export interface ReplyOptions {
  /** Called with each piece of text as it arrives, several tokens at once where the provider sends them so. */
  onText(text: string): void;
  signal: AbortSignal;
}

/** A language model. */
export interface LanguageModel {
  /**
   * Streams one reply. Rejects with an {@linkcode AgentError} with a `model_…` code, or with the signal's reason once
   * it is aborted; the upstream request is given up at once then.
   */
  reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply>;
}

/** The owner of a session: a signed-in user, or the holder of the resume token with this SHA-256. */
export type SessionOwner =
  | { kind: "user"; userId: string }
  | { kind: "anonymous"; tokenHash: string };

/** A session as the store knows it. */
export interface SessionRecord {
  sessionId: string;
  owner: SessionOwner;
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** A session's state when it is opened. */
export interface StoredSession {
  record: SessionRecord;
  /** The end of its log: the newest events, as many as were asked for. */
  tail: LogPage;
  /** Accepted turns without a terminal event, oldest first. */
  openTurns: readonly OpenTurn[];
  /** The options set by `configure`. */
  defaults: QueryOptions;
  /** Comments of `modify` feedback that came after the newest query, oldest first. */
  notes: readonly string[];
}

/** The sessions and their owners. All methods reject with `store_unavailable` if the store cannot be reached. */
export interface SessionStore {
  /** Atomic: if it rejects, there is no partly created session. */
  create(record: SessionRecord): Promise<void>;
  /**
   * The session with the newest `tail` events, if it exists and one of `claims` owns it. For an unknown session, an
   * expired one and another owner's the answer is the same `undefined`.
   */
  find(
    sessionId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined>;
  /** The newest sessions of a user first. */
  list(userId: string, options: ListOptions): Promise<readonly SessionRecord[]>;
  /** Deletes a session with its log. Deleting an unknown one does nothing. */
  remove(sessionId: string): Promise<void>;
}

/** Which page of a list. */
export interface ListOptions {
  /** At most this many. */
  limit: number;
  /** Only sessions created before this one in the order of the list: the last of the page before. */
  before?: string;
}

/** Events `from` … in order, as far as the page goes. */
export interface LogPage {
  events: readonly LogEvent[];
  /** The oldest `seq` still kept; `lastSeq + 1` if none is. */
  oldestSeq: number;
  /** The newest `seq` there is; 0 before the first event. */
  lastSeq: number;
  lease: Lease;
}

/** Which part of a session's log. */
export interface LogRange {
  /** Only events after this `seq`. */
  afterSeq: number;
  /** At most this many. */
  limit: number;
}

/**
 * The right to run the turns of a session: one worker holds it at a time, for as long as it renews the lease. Each change of
 * holder gives the next epoch (a fencing token): writes under an old epoch are refused.
 */
export interface Lease {
  /** 0 before the first claim. */
  epoch: number;
  holder: "self" | "other" | "nobody";
  /** Milliseconds until another worker may claim it; 0 if it is free. */
  leftMs: number;
}

/** A turn that was accepted and has no terminal event yet. */
export interface OpenTurn {
  query: QueryEvent & Logged;
  /** How many times a worker started to run it; 0 while it waits. */
  starts: number;
  /** The answer so far, as of the newest checkpoint. */
  partial: string;
  /** Set if a client has asked to stop it. */
  stopped: CancelledEvent["reason"] | undefined;
}

/** A request to stop open turns, for the worker that runs them. */
export interface StopRequest {
  /** The running one, those that wait, all, or that of one query. */
  which: "running" | "waiting" | "all" | { queryId: string };
  reason: CancelledEvent["reason"];
}

/** The next piece of a running answer, kept for a worker that may take the turn over. */
export interface Checkpoint {
  turnId: string;
  /** 1, 2, 3 … for each run of a turn: piece 1 replaces all earlier text, the others are appended. */
  number: number;
  /** Well-formed: a surrogate pair is never split between two pieces. */
  text: string;
}

/** One change to one session: all of it happens, or nothing. */
export type LogWrite = HolderWrite | ClaimingWrite | GuestWrite;

/** What any worker may write. */
interface AnyWrite {
  /**
   * Appended in order. An event whose key is in the log already (`keyOf`) is not appended again. `configured` events are
   * also merged into the session's defaults.
   */
  events?: readonly NewLogEvent[];
  /** Stops turns that were open before this write. */
  stop?: StopRequest;
}

/** A write of the lease's holder. It renews the lease. Rejected with `lease_lost` unless `epoch` is the current one. */
export interface HolderWrite extends AnyWrite {
  epoch: number;
  lease?: "release";
  /** The turn that starts to run with this write. */
  startedTurnId?: string;
  checkpoint?: Checkpoint;
  onlyIfIdle?: never;
}

/** Takes the lease unless another worker holds it. Where another worker does, the rest of the write is done all the same. */
export interface ClaimingWrite extends AnyWrite {
  lease: "claim";
  /** The turn that starts to run with this write; ignored where the claim fails. */
  startedTurnId?: string;
  /** Rejected with `busy` where another worker holds the lease. */
  onlyIfIdle?: boolean;
  epoch?: never;
  checkpoint?: never;
}

/** A write of a worker that neither holds the lease nor wants it. */
export interface GuestWrite extends AnyWrite {
  lease?: never;
  epoch?: never;
  startedTurnId?: never;
  checkpoint?: never;
  /** Rejected with `busy` where another worker holds the lease. */
  onlyIfIdle?: boolean;
}

/** The result of a write that was done. */
export type Committed = CommittedByHolder | CommittedByGuest;

interface AnyCommitted {
  /** In the order of the write. An event that was in the log before is returned as stored, with its first `seq`. */
  events: readonly LogEvent[];
  /** The newest `seq` after the write. */
  lastSeq: number;
  /** Queries of the open turns that this write's `stop` matched. */
  stopMatched: readonly string[];
}

/** This worker held the lease when the write was done. */
export interface CommittedByHolder extends AnyCommitted {
  lease: Lease & { holder: "self" };
  /** Open turns with a stop request. */
  stopped: readonly { queryId: string; reason: CancelledEvent["reason"] }[];
  /** Set where this write claimed the lease: the turns that were open before it, oldest first. */
  openTurns?: readonly OpenTurn[];
}

/** Another worker holds the lease after the write, or no worker. */
export interface CommittedByGuest extends AnyCommitted {
  lease: Lease & { holder: "other" | "nobody" };
  stopped?: never;
  openTurns?: never;
}

/** A user's feedback on a turn. */
export interface Feedback {
  /** The client's key for this piece of feedback: a repeat changes nothing. */
  id: string;
  turnId: string;
  verdict?: "approve" | "reject" | "modify";
  rating?: -1 | 1;
  comment: string;
}

/**
 * The durable events of every session, and who may end its turns. All methods reject with `store_unavailable`
 * (retryable) if the store cannot be reached, and with `unknown_session` if the session no longer exists.
 */
export interface EventLog {
  /**
   * Assigns `seq`: 1, 2, 3 … without gaps, across all workers. Writes of one worker to one session take
   * effect in the order they were made, and are answered in that order. Rejects with `lease_lost` or `busy`: nothing was
   * written. After `store_unavailable` the write is in doubt.
   */
  commit(sessionId: string, write: LogWrite): Promise<Committed>;
  read(sessionId: string, range: LogRange): Promise<LogPage>;
  /** The newest `seq` of each session that still exists. */
  heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Rejects with `unknown_turn` if the session has no such turn. */
  recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }>;
}

/** The usage of one user (or address) at this worker since the last report. */
export interface UseReport {
  /** Such as `user:<id>`. */
  key: string;
  /** Frames since the last report. */
  frames: number;
  /** When the first of these frames was counted, in milliseconds since the epoch. Any time if there are none. */
  framesSince: number;
  /** Tokens of the model that were used on `day` since the last report. */
  tokens: number;
  /** Days (UTC) since the epoch, by this worker's clock. */
  day: number;
  /** Connections that this worker holds now. */
  connections: number;
}

/** The usage of one key at all workers together. */
export interface QuotaUsage {
  /** Frames left in the bucket; below 0 where the workers together let more through. */
  framesLeft: number;
  /** Used on `day`. */
  tokensToday: number;
  /** The newest day (UTC, since the epoch) that any worker has reported. */
  day: number;
  connections: number;
}

/** Counts usage across all workers. Approximate: it does not include what a worker has not reported yet. */
export interface UseLedger {
  /** Books the reports, each once, and answers with the usage of each key. Rejects with `store_unavailable`. */
  report(reports: readonly UseReport[]): Promise<ReadonlyMap<string, QuotaUsage>>;
}

/** A notification to store, and its recipient. */
export interface DeliveryRequest {
  /** Unique in the project for 24 hours. */
  id: string;
  /** Equal for equal content and target. Decides whether a repeated `id` is a repeat or a conflict. */
  fingerprint: string;
  /** The user who sends it, who may reach only their own sessions; undefined if the project itself sends it. */
  caller: string | undefined;
  /** `nobody`: a notification that is not stored, such as a broadcast. Only its `id` is. */
  target: { kind: "session"; sessionId: string } | { kind: "user"; userId: string } | { kind: "nobody" };
  /** What is appended to the log of each session; undefined for `nobody`. */
  notification: NotificationEvent | undefined;
}

/** Where a notification has been stored. */
export interface Delivered {
  /** Sorted by session id, each with the notification's `seq`. */
  sessions: readonly { sessionId: string; seq: number }[];
  /** Whether this is a repeat of an earlier request. If so, nothing was done, and the sessions are those of the first one. */
  repeated: boolean;
}

/** Appends notifications to the logs of sessions, whichever worker holds them. */
export interface NotificationStore {
  /**
   * Appends to the log of a session, or of the sessions of a user that have not expired (at most 100, the ones used last):
   * to all of them or to none. Rejects with `unknown_session` (also for another user's, if there is a caller), `forbidden`
   * (another user, or `nobody`, by a caller), `id_conflict` (other content within 24 hours); with `store_unavailable`, after
   * which the same request may be made again.
   */
  deliver(request: DeliveryRequest): Promise<Delivered>;
}

/** A message from another worker, or from another function. */
export interface RelayMessage {
  /** Its name. `relay_batch` is taken. */
  event: string;
  /** A JSON object that is not changed any more. Not validated on arrival. */
  payload: unknown;
}

/**
 * The state of listening. `ok`: every topic with listeners is joined; `connecting`: not yet, or not any more; `idle`: none.
 * Sending does not depend on it.
 */
export type RelayStatus = "ok" | "connecting" | "idle";

/**
 * Carries messages between the workers of a project: best effort, without replay. Within a topic a message
 * comes after those that `publish` had resolved for when it was called; else in any order.
 */
export interface Relay {
  /** For `/health`, and for honest answers to callers. */
  readonly status: RelayStatus;
  /**
   * Joins a topic for as long as it has listeners, and delivers all messages published there, those of this worker too.
   * Returns a function that removes this listener; calling it again does nothing. Never throws; a closed relay does nothing.
   */
  subscribe(topic: string, listener: RelayListener): () => void;
  /**
   * Resolves when the message was accepted, which does not prove delivery. Rejects with an {@linkcode AgentError}
   * `relay_unavailable` (retryable) if it was not, or no answer came; with `message_too_large` above 250,000 bytes; with
   * a `TypeError` if the payload is not an object.
   */
  publish(topic: string, message: RelayMessage): Promise<void>;
  /** Leaves all topics, and resolves when the messages under way have been sent or have failed. */
  close(): Promise<void>;
}

/** The message rate of the whole project as the relay's server reports it, with an answer or a refusal. */
export interface RelayPressure {
  /** Whether it refused the message, or closed channels, because there are too many messages. */
  isRefused: boolean;
  /** How long it asks clients to wait, in milliseconds. */
  retryAfterMs?: number;
  /** Messages a second, on its own average, and how many there may be. */
  rate?: { perSecond: number; limit: number };
}

/** A listener of a topic. Neither function may throw. */
export interface RelayListener {
  onMessage(message: RelayMessage): void;
  /**
   * Messages may have been missed until now: the topic has just been joined, for the first time since this listener came
   * or again after a failure. A listener of a topic that is already joined has missed nothing.
   */
  onGap?(): void;
}

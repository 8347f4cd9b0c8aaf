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

/** Randomness, in the two forms it is needed in. */
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

/** Tells who a token belongs to. */
export interface IdentityVerifier {
  /**
   * Checks a user's access token: signature, algorithm, `iss`, `exp`, `nbf`, `aud`. What costs a request is limited by the
   * caller's `address`. Rejects with an {@linkcode AgentError}: `unauthorized` for a token that is no good; `store_unavailable`
   * (retryable) where the keys could not be had, `rate_limited` (retryable) over the limit.
   */
  verify(token: string, address?: string): Promise<VerifiedUser>;
}

/** One message of a chat completion. */
export interface ModelMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** What the model is asked. */
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

/** How a reply is received, and given up. */
export interface ReplyOptions {
  /** Called with each piece of text as it arrives, several tokens at once where the provider sends them so. */
  onText(text: string): void;
  signal: AbortSignal;
}

/** Whoever writes the answers. */
export interface LanguageModel {
  /**
   * Streams one reply. Rejects with an {@linkcode AgentError} with a `model_…` code, or with the signal's reason once
   * it is aborted; the upstream request is given up at once then.
   */
  reply(request: ModelRequest, options: ReplyOptions): Promise<ModelReply>;
}

/** Whose a session is: a signed-in user's, or that of whoever holds the resume token with this SHA-256. */
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

/** What is known of a session when it is opened. */
export interface StoredSession {
  record: SessionRecord;
  /** The end of its log: the newest events, as many as were asked for. */
  tail: LogPage;
  /** Accepted and without their end yet, oldest first. */
  openTurns: readonly OpenTurn[];
  /** What `configure` set. */
  defaults: QueryOptions;
  /** Comments of `modify` feedback that came after the newest query, oldest first. */
  notes: readonly string[];
}

/** Which sessions there are, and whose. All methods reject with `store_unavailable` where the store is out of reach. */
export interface SessionStore {
  /** Where it rejects there is no half-made session. */
  create(record: SessionRecord): Promise<void>;
  /**
   * The session with the newest `tail` events, if it exists and one of `claims` owns it. An unknown session, an
   * expired one and another's are all `undefined`, with nothing to tell them apart by.
   */
  find(
    sessionId: string,
    claims: readonly SessionOwner[],
    options: { tail: number },
  ): Promise<StoredSession | undefined>;
  /** The newest sessions of a user first. */
  list(userId: string, options: ListOptions): Promise<readonly SessionRecord[]>;
  /** Forgets a session with its log. Forgetting an unknown one does nothing. */
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
  /** The oldest `seq` still kept; `lastSeq + 1` where nothing is. */
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
 * Who runs the turns of a session: one worker at a time, for as long as it renews its lease. Each change of hands gives
 * the next epoch, and what is written under an old one is refused.
 */
export interface Lease {
  /** 0 before the first claim. */
  epoch: number;
  holder: "self" | "other" | "nobody";
  /** Milliseconds until another worker may claim it; 0 where nobody holds it. */
  leftMs: number;
}

/** A turn that was accepted and has no terminal event yet. */
export interface OpenTurn {
  query: QueryEvent & Logged;
  /** How many times somebody began to run it; 0 while it waits. */
  starts: number;
  /** The answer so far, as of the newest checkpoint. */
  partial: string;
  /** Set where somebody asked for it to be stopped. */
  stopped: CancelledEvent["reason"] | undefined;
}

/** Which open turns somebody wants stopped, and why: for the worker that runs them. */
export interface StopRequest {
  /** The running one, those that wait, all, or that of one query. */
  which: "running" | "waiting" | "all" | { queryId: string };
  reason: CancelledEvent["reason"];
}

/** The next piece of a running answer, kept for whoever may have to go on with it. */
export interface Checkpoint {
  turnId: string;
  /** 1, 2, 3 … for each run of a turn: piece 1 replaces all that there is, the others follow. */
  number: number;
  /** Well-formed: a surrogate pair is never split between two pieces. */
  text: string;
}

/** One change to one session: all of it happens, or nothing. */
export interface LogWrite {
  /** Appended in order. One that is there already (the same query, end of a turn, notification or clearing) is not. */
  events?: readonly NewLogEvent[];
  /**
   * `claim` takes the lease, or renews it, unless another worker holds it: then the rest of the write is done all the
   * same. `release` gives it up; it needs `epoch`.
   */
  lease?: "claim" | "release";
  /** What only the holder may write: refused with `lease_lost` unless it is the present epoch. Renews the lease. */
  epoch?: number;
  /** The turn that begins to run now. Not taken where a claim in the same write fails. */
  startedTurnId?: string;
  checkpoint?: Checkpoint;
  /** Concerns the turns that were open before this write. */
  stop?: StopRequest;
  /** Refused with `busy` where another worker holds the lease. */
  onlyIfIdle?: boolean;
  defaults?: QueryOptions;
}

/** What a write has come to. */
export interface Committed {
  /** In the order of the write. One that was there already is told as it is there, with its first `seq`. */
  events: readonly LogEvent[];
  /** The newest `seq` after the write. */
  lastSeq: number;
  lease: Lease;
  /** Where this write has claimed the lease: what its holder has to see to, but what the write itself brought; oldest first. */
  openTurns?: readonly OpenTurn[];
  /** Open turns that somebody wants stopped, told to the holder of the lease at each write. */
  stopped: readonly { queryId: string; reason: CancelledEvent["reason"] }[];
  /** Queries of the open turns that this write's `stop` has reached. */
  reached: readonly string[];
}

/** What somebody thinks of a turn. */
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
 * (retryable) where the store is out of reach, and with `unknown_session` where the session is no more.
 */
export interface EventLog {
  /**
   * `seq` is given here: 1, 2, 3 … without holes, by all workers together. Writes of one worker to one session take
   * effect in the order they were made, and are answered in that order. Rejects with `lease_lost`, `busy`; then nothing was
   * written. After `store_unavailable` it is not known whether something was.
   */
  commit(sessionId: string, write: LogWrite): Promise<Committed>;
  read(sessionId: string, range: LogRange): Promise<LogPage>;
  /** The newest `seq` of each session that still exists. */
  heads(sessionIds: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Rejects with `unknown_turn` where the session has no such turn. */
  recordFeedback(sessionId: string, feedback: Feedback): Promise<{ repeated: boolean }>;
}

/** What one user (or address) did here since the last report. */
export interface UseReport {
  /** Such as `user:<id>`. */
  key: string;
  /** Frames since the last report. */
  frames: number;
  /** When the first of them was taken, in milliseconds since the epoch. Where there are none, any time. */
  framesSince: number;
  /** Tokens of the model that were used on `day` since the last report. */
  tokens: number;
  /** Days (UTC) since the epoch, by this worker's clock. */
  day: number;
  /** Connections that this worker holds now. */
  connections: number;
}

/** What one user did at all workers together. */
export interface QuotaUsage {
  /** Frames left in the bucket; below 0 where the workers together let more through. */
  framesLeft: number;
  /** Used on `day`. */
  tokensToday: number;
  /** The newest day (UTC, since the epoch) that any worker has reported. */
  day: number;
  connections: number;
}

/** The accounts of what users do, kept over all workers. Approximate: a worker lets through what it has not reported. */
export interface UseLedger {
  /** Books the reports, each once, and answers with the usage of each key. Rejects with `store_unavailable`. */
  report(reports: readonly UseReport[]): Promise<ReadonlyMap<string, QuotaUsage>>;
}

/** A notification to be kept, and for whom. */
export interface DeliveryRequest {
  /** Unique in the project for 24 hours. */
  id: string;
  /** The same for the same content and target: whether a repeated `id` is a repeat is told by it. */
  fingerprint: string;
  /** The user who sends it, who may reach only her own sessions; undefined where the project itself does. */
  caller: string | undefined;
  /** `nobody`: what is kept nowhere, such as a broadcast. Only its `id` is. */
  target: { kind: "session"; sessionId: string } | { kind: "user"; userId: string } | { kind: "nobody" };
  /** What is appended to the log of each session; undefined for `nobody`. */
  notification: NotificationEvent | undefined;
}

/** Where a notification has been kept. */
export interface Delivered {
  /** Sorted by their ids, with the `seq` that it has in each. */
  sessions: readonly { sessionId: string; seq: number }[];
  /** Whether it was sent before with the same content: then nothing was done, and the sessions are those of that time. */
  repeated: boolean;
}

/** Puts notifications into the logs of sessions, whichever worker holds them. */
export interface NotificationStore {
  /**
   * Appends to the log of a session, or of the sessions of a user that have not expired (at most 100, the ones used last):
   * to all of them or to none. Rejects with `unknown_session` (also for another's, where there is a caller), `forbidden`
   * (another user, or nobody, by a caller), `id_conflict` (other content within 24 hours); with `store_unavailable`, after
   * which the same request may be made again.
   */
  deliver(request: DeliveryRequest): Promise<Delivered>;
}

/** A message from another worker, or from another function. */
export interface RelayMessage {
  /** Its name. `relay_batch` is taken. */
  event: string;
  /** An object that JSON can hold, and that is not changed any more. On arrival it is not checked yet. */
  payload: unknown;
}

/**
 * How listening stands: every topic that somebody listens to is joined; not yet, or not any more; nobody listens.
 * Sending does not depend on it.
 */
export type RelayStatus = "ok" | "connecting" | "idle";

/**
 * Carries messages between the workers of a project: best effort, and nothing after the fact. Within a topic a message
 * comes after those that `publish` had resolved for when it was called; else in any order.
 */
export interface Relay {
  /** For `/health`, and for telling callers the truth. */
  readonly status: RelayStatus;
  /**
   * Joins a topic for as long as anyone listens to it, and hands on what anyone publishes there, this worker too.
   * Answers what ends this listener; ending it again does nothing. Never throws; a closed relay does nothing.
   */
  subscribe(topic: string, listener: RelayListener): () => void;
  /**
   * Resolves when the message was taken: whether it arrives, nobody knows. Rejects with an {@linkcode AgentError}
   * `relay_unavailable` (retryable) where it was not, or no answer came; with `message_too_large` above 250,000 bytes; with
   * a `TypeError` where the payload is no object.
   */
  publish(topic: string, message: RelayMessage): Promise<void>;
  /** Leaves everything, and resolves when what was being sent has been, or has failed. */
  close(): Promise<void>;
}

/** What the relay's server says of the message rate of the whole project, beside an answer or with a refusal. */
export interface RelayPressure {
  /** Whether it took nothing, or closed channels, because there are too many messages. */
  isRefused: boolean;
  /** How long it asks to be left alone, in milliseconds. */
  retryAfterMs?: number;
  /** Messages a second, on its own average, and how many there may be. */
  rate?: { perSecond: number; limit: number };
}

/** Who listens to a topic. Neither function may throw. */
export interface RelayListener {
  onMessage(message: RelayMessage): void;
  /**
   * Messages may have been missed until now: the topic has just been joined, for the first time since this listener came
   * or again after trouble. A listener of a topic that is joined already has missed nothing.
   */
  onGap?(): void;
}

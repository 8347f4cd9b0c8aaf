/** What the database's functions answer, checked by hand: each write of a worker comes this way, and CPU is short. */

import { AgentError, type ErrorCode } from "../errors.ts";
import type {
  Committed,
  CommittedByHolder,
  Lease,
  LogPage,
  LogWrite,
  OpenTurn,
  VisiblePage,
} from "../ports/event_log.ts";
import type { Conversation } from "../ports/conversation_store.ts";
import type { QuotaUsage } from "../ports/quota.ts";
import type { Reservation, UsageAnswer } from "../ports/usage.ts";
import type { SessionRecord, StoredSession } from "../ports/session_store.ts";
import type { LogEvent, Logged, NewLogEvent, QueryEvent } from "../protocol/log_event.ts";
import type { Pruned } from "./retention.ts";
import { storeUnavailable } from "./store_rpc.ts";

type Fields = Readonly<Record<string, unknown>>;

/** An answer that is not what the function gives: another version of it, or something else answered. */
class StrangeAnswer extends Error {
  override readonly name = "StrangeAnswer";
}

export function fields(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw strange("an object", value);
  return value as Fields;
}

export function items(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw strange("an array", value);
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number") throw strange("a number", value);
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw strange("a string", value);
  return value;
}

function strange(expected: string, value: unknown): StrangeAnswer {
  return new StrangeAnswer(`Cannot read the database's answer: expected ${expected}, got ${typeof value}`);
}

/** Each error code of the database functions, with the error for the caller. */
const REFUSALS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  unknown_session: ["unknown_session", "Cannot reach the session: it has ended"],
  unknown_turn: ["unknown_turn", 'Cannot record feedback: "turn_id" must name a turn of this session'],
  unknown_approval: ["unknown_approval", 'Cannot decide: nothing waits for this "approval_id"'],
  already_decided: ["already_decided", "Cannot decide: somebody was first, or nobody was in time"],
  chat_exists: ["chat_exists", "Cannot create session: the chat has one"],
  lease_lost: ["lease_lost", "Cannot write: another worker has taken over"],
  exists: ["internal", "Cannot create session: its id is taken"],
  busy: ["busy", "Cannot take query: an answer is being written"],
  forbidden: ["forbidden", "Cannot notify somebody else: a user may name only her own user_id"],
  id_conflict: ["id_conflict", 'Cannot send: its "id" was used for another notification'],
};

export function refusal(error: string): AgentError {
  const [code, words] = REFUSALS[error] ?? ["internal", "Cannot use the session store"];
  return new AgentError(code, words, { retryable: code === "busy", cause: error });
}

/** The write was not done because its rows are locked by another transaction: it may be sent again. */
export function isRetry(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "error" in answer && answer.error === "retry";
}

/** The fields of an answer that is no error. */
export function noError(answer: unknown): Readonly<Record<string, unknown>> {
  const known = fields(answer);
  if (typeof known.error === "string") throw refusal(known.error);
  return known;
}

/** An invalid answer comes from a proxy or from another version of the functions. */
export function readAnswer<T>(answer: unknown, use: (answer: unknown) => T): T {
  try {
    return use(answer);
  } catch (error) {
    throw error instanceof StrangeAnswer ? storeUnavailable(error) : error;
  }
}

/** Rows of our own table, whose shape the writers' types have seen to. */
function toEvent(value: unknown): LogEvent {
  const event = fields(value);
  number(event.seq);
  number(event.at);
  text(event.kind);
  return event as unknown as LogEvent;
}

function toLease(value: unknown): Lease {
  const { epoch, holder, left_ms } = fields(value);
  if (holder !== "self" && holder !== "other" && holder !== "nobody") throw strange("a holder", holder);
  return { epoch: number(epoch), holder, leftMs: number(left_ms) };
}

function toOpenTurns(value: unknown): OpenTurn[] {
  return items(value).map((item) => {
    const { query, starts, starts_without_text, partial, stopped, tools } = fields(item);
    return {
      query: toEvent(query) as QueryEvent & Logged,
      starts: number(starts),
      // A database that was not upgraded does not count them.
      startsWithoutText: number(starts_without_text ?? 0),
      partial: text(partial),
      stopped: stopped === null ? undefined : text(stopped) as OpenTurn["stopped"],
      // Nor does it know tools.
      tools: items(tools ?? []).map(toEvent) as OpenTurn["tools"],
    };
  });
}

/** Null is what a session that does not exist has. */
export function toPage(value: unknown): LogPage {
  if (value === null) throw refusal("unknown_session");
  const { events, oldest_seq, last_seq, lease } = fields(value);
  return {
    events: items(events).map(toEvent),
    oldestSeq: number(oldest_seq),
    lastSeq: number(last_seq),
    lease: toLease(lease),
  };
}

export function toVisiblePage(value: unknown): VisiblePage {
  if (value === null) throw refusal("unknown_session");
  const { events, is_first } = fields(value);
  return { events: items(events).map(toEvent), isFirst: is_first === true };
}

/** New events come back as their `seq` alone: the writer has the rest. A lease is counted from before it was given. */
export function toCommitted(write: LogWrite, answer: Fields, ageMs: number): Committed {
  const at = number(answer.at);
  const stored = items(answer.events);
  const { epoch, holder, leftMs } = toLease(answer.lease);
  const lease = { epoch, leftMs: Math.max(0, leftMs - ageMs) };
  const committed = {
    events: (write.events ?? []).flatMap((event, index) => toAppended(event, stored[index], at)),
    lastSeq: number(answer.last_seq),
    stopMatched: answer.reached === undefined ? [] : items(answer.reached).map(text),
  };
  if (holder !== "self") return { ...committed, lease: { ...lease, holder } };
  return {
    ...committed,
    lease: { ...lease, holder },
    stopped: answer.stopped === undefined ? [] : items(answer.stopped) as CommittedByHolder["stopped"],
    ...(answer.open_turns !== undefined && { openTurns: toOpenTurns(answer.open_turns) }),
  };
}

/** Null: not appended, because it replaces a query that the log does not have. A list: after the `rewound` event. */
function toAppended(event: NewLogEvent, known: unknown, at: number): LogEvent[] {
  if (typeof known === "number") return [{ ...event, seq: known, at }];
  if (known === null) return [];
  if (!Array.isArray(known)) return [toEvent(known)];
  const [rewound, seq] = known;
  return [toEvent(rewound), { ...event, seq: number(seq), at }];
}

export function toStored(value: unknown): StoredSession {
  const { tail, open_turns, defaults, notes } = fields(value);
  return {
    record: toRecord(value),
    tail: toPage(tail),
    openTurns: toOpenTurns(open_turns),
    defaults: fields(defaults),
    notes: items(notes) as string[],
  };
}

function toRecord(value: unknown): SessionRecord {
  const { session_id, user_id, token_hash, chat_id, agent, created_at } = fields(value);
  const owner = user_id === null
    ? { kind: "anonymous" as const, tokenHash: text(token_hash) }
    : { kind: "user" as const, userId: text(user_id) };
  return {
    sessionId: text(session_id),
    owner,
    ...(typeof chat_id === "string" && { chatId: chat_id }),
    ...(typeof agent === "string" && { agent }),
    createdAt: number(created_at),
  };
}

export function toConversation(value: unknown): Conversation {
  const { title, titled, preview, last_activity, archived, running } = fields(value);
  return {
    record: toRecord(value),
    title: text(title),
    isTitled: titled === true,
    preview: text(preview),
    lastActivity: number(last_activity),
    isArchived: archived === true,
    isRunning: running === true,
  };
}

export function toHeads(value: unknown): Map<string, number> {
  return new Map(Object.entries(fields(value)).map(([id, seq]) => [id, number(seq)]));
}

export function toQuotaUsages(value: unknown): Map<string, QuotaUsage> {
  return new Map(
    Object.entries(fields(value)).map(([key, usage]) => {
      const { frames_left, connections } = fields(usage);
      return [key, { framesLeft: number(frames_left), connections: number(connections) }];
    }),
  );
}

export function toUsageAnswer(value: unknown, reservations: readonly Reservation[]): UsageAnswer {
  const { granted, used_up, day_left_ms, lost } = fields(value);
  const tokens = fields(granted);
  return {
    granted: new Map(
      reservations.filter(({ row }) => row.id in tokens).map(({ row, maxTokens }) => {
        const most = tokens[row.id];
        return [row.id, most === null ? maxTokens : number(most)];
      }),
    ),
    usedUp: new Set(items(used_up).map(text)),
    dayLeftMs: number(day_left_ms),
    lost: items(lost).map((item) => {
      const { id, generation_id } = fields(item);
      return { id: text(id), generationId: text(generation_id) };
    }),
  };
}

export function toDelivered(
  value: unknown,
): { sessions: { sessionId: string; seq: number }[]; repeated: boolean } {
  const { sessions, repeated } = noError(value);
  return {
    sessions: items(sessions).map((item) => {
      const { session_id, seq } = fields(item);
      return { sessionId: text(session_id), seq: number(seq) };
    }),
    repeated: repeated === true,
  };
}

export function toPruned(value: unknown): Pruned {
  const { turns, sessions, events, rows, more } = fields(value);
  return {
    turns: number(turns),
    sessions: number(sessions),
    events: number(events),
    rows: number(rows),
    more: more === true,
  };
}

export function toVersion(value: unknown): number {
  return number(value);
}

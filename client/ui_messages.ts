/**
 * A conversation as messages of the AI SDK. The types here are assignable to its `UIMessage`, so that this module works without
 * the package `ai`.
 */

import type { ResponseFrame } from "./frames.ts";

/** What an answer's message has besides its text. Fields that are not known are left out. */
export interface AgentMessageMetadata {
  turnId: string;
  model?: string;
  usage?: NonNullable<ResponseFrame["usage"]>;
  /** Set if the message has only a part of an answer, which was stopped or has failed. */
  outcome?: "cancelled" | "failed";
  /** With `outcome`: why it was cancelled (`cancelled`, `interrupted`, `superseded`), or the code of the error. */
  reason?: string;
}

/**
 * A part of a message. The text of a question has no `state`; that of an answer is `streaming` while the answer is written. Only
 * `agent-websocket-client/tools` makes parts of tool calls, and of the steps that follow them.
 */
export type AgentUIPart =
  | { type: "text"; text: string; state?: "streaming" | "done" }
  | { type: "reasoning"; text: string; state?: "streaming" | "done" }
  | { type: "step-start" }
  | AgentToolPart;

/** A tool call. `toolCallId` is also the id of its approval. */
export type AgentToolPart =
  & { type: "dynamic-tool"; toolName: string; toolCallId: string; input: unknown }
  & (
    | { state: "input-available" }
    | { state: "approval-requested"; approval: { id: string } }
    | { state: "approval-responded"; approval: { id: string; approved: boolean; reason?: string } }
    | {
      state: "output-available";
      output: unknown;
      approval?: { id: string; approved: true; reason?: string };
    }
    | { state: "output-error"; errorText: string; approval?: { id: string; approved: true; reason?: string } }
    | { state: "output-denied"; approval: { id: string; approved: false; reason?: string } }
  );

/**
 * A question (`user`) or an answer (`assistant`). The id of a question is its query's; that of an answer is `answer-<turn id>`, as in
 * `AgentChatTransport`.
 */
export interface AgentUIMessage {
  id: string;
  role: "user" | "assistant";
  metadata?: AgentMessageMetadata;
  parts: AgentUIPart[];
}

/** A row of the table `agent_events`: its column `event` is enough. */
export interface AgentEventRow {
  event: unknown;
}

/** The message of a question. */
export function questionMessage(queryId: string, text: string): AgentUIMessage {
  return { id: queryId, role: "user", parts: [{ type: "text", text }] };
}

/** The message of an answer; undefined if there is no text and no reasoning: the AI SDK takes no message without parts. */
export function answerMessage(
  metadata: AgentMessageMetadata,
  { text, reasoning = "", state }: { text: string; reasoning?: string; state: "streaming" | "done" },
): AgentUIMessage | undefined {
  const parts: AgentUIPart[] = [];
  if (reasoning !== "") parts.push({ type: "reasoning", text: reasoning, state });
  if (text !== "") parts.push({ type: "text", text, state });
  return parts.length === 0
    ? undefined
    : { id: `answer-${metadata.turnId}`, role: "assistant", metadata, parts };
}

interface Exchange {
  /** The `seq` of its first event. */
  seq: number;
  question?: AgentUIMessage;
  answer?: AgentUIMessage | undefined;
}

/**
 * The conversation in the rows of `agent_events` of one session, which its user may read, for example to render a page on the server:
 *
 * ```ts
 * const { data } = await supabase.from("agent_events").select("event").eq("session_id", id).order("seq");
 * const messages = toUIMessages(data ?? []);
 * ```
 *
 * The rows may be in any order. If they are only a part of the session (PostgREST returns 1,000 rows at most by default), so are the
 * messages. Each answer follows its question. A question without an answer yet is the last message or one of the last; with
 * `useChat({ messages, resume: true })` its answer follows.
 *
 * A stopped or failed answer is a message with the text that it has, if any. Questions that were replaced are left out, with all that
 * followed them. So is everything before the last `clear`, although the log keeps it. Reasoning is in no log, and notifications are no
 * messages. Rows that are not events are ignored.
 */
export function toUIMessages(rows: readonly AgentEventRow[]): AgentUIMessage[] {
  /** By turn id, in the order of the questions. */
  const exchanges = new Map<string, Exchange>();
  const dropped = new Set<string>();
  let isCleared = false;
  const drop = (fromSeq: number): void => {
    for (const [turnId, { seq }] of exchanges) {
      if (seq < fromSeq) continue;
      exchanges.delete(turnId);
      dropped.add(turnId);
    }
  };
  for (const event of eventsOf(rows)) {
    const { kind, seq, turnId = "" } = event;
    if (kind === "query") {
      exchanges.set(turnId, { seq, question: questionMessage(event.queryId ?? "", event.content ?? "") });
    } else if (kind === "rewound") {
      drop(event.fromSeq ?? 0);
    } else if (kind === "cleared") {
      drop(0);
      isCleared = true;
    } else if (kind === "response" || kind === "cancelled" || kind === "error") {
      const exchange = exchanges.get(turnId);
      const answer = answerOf(event, turnId);
      if (exchange !== undefined) exchange.answer = answer;
      // Its question is older than the rows. After a `clear` it is older than that, too.
      else if (!isCleared && !dropped.has(turnId)) exchanges.set(turnId, { seq, answer });
    }
  }
  return [...exchanges.values()].flatMap(({ question, answer }) => [question ?? [], answer ?? []].flat());
}

function answerOf(event: StoredEvent, turnId: string): AgentUIMessage | undefined {
  const { kind, content = "", partial = "", model, usage, reason, code } = event;
  if (kind === "response") {
    const metadata = { turnId, ...(model !== undefined && { model }), ...(usage && { usage }) };
    return answerMessage(metadata, { text: content, state: "done" });
  }
  const why = kind === "cancelled"
    ? { outcome: "cancelled" as const, reason: reason ?? "cancelled" }
    : { outcome: "failed" as const, reason: code ?? "internal" };
  return answerMessage({ turnId, ...(usage && { usage }), ...why }, { text: partial, state: "done" });
}

/** The fields of an event that matter here. Which of them an event has depends on its kind. */
export interface StoredEvent {
  kind: string;
  seq: number;
  turnId?: string;
  queryId?: string;
  content?: string;
  partial?: string;
  model?: string;
  usage?: NonNullable<ResponseFrame["usage"]>;
  /** Why it was cancelled. */
  reason?: string;
  /** Why it failed. */
  code?: string;
  /** Of a `rewound` event: the `seq` of the replaced question. */
  fromSeq?: number;
  /** Of the events of tool calls. */
  callId?: string;
  step?: number;
  name?: string;
  input?: unknown;
  needs?: string;
  asUser?: boolean;
  /** Milliseconds since the epoch. */
  expiresAt?: number;
  verdict?: "approve" | "reject" | "modify" | "expired";
  comment?: string;
  by?: string;
  outcome?: "ok" | "error" | "unknown";
  output?: string;
}

/** The events, each once, oldest first. */
export function eventsOf(rows: readonly AgentEventRow[]): StoredEvent[] {
  const events = new Map<number, StoredEvent>();
  for (const { event } of rows) {
    const stored = restored(event) as Partial<StoredEvent> | null | undefined;
    if (typeof stored?.seq === "number") events.set(stored.seq, stored as StoredEvent);
  }
  return [...events.values()].sort((a, b) => a.seq - b.seq);
}

/**
 * An event as it was before the store escaped what `jsonb` refuses: U+0000 and halves of surrogate pairs are stored as U+E0FF and
 * four hexadecimal digits, and so is U+E0FF itself.
 */
function restored(value: unknown): unknown {
  if (typeof value === "string") {
    return value.replace(
      /\uE0FF([0-9a-f]{4})/g,
      (_, digits: string) => String.fromCharCode(parseInt(digits, 16)),
    );
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(restored);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, restored(one)]));
}

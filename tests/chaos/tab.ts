/** One tab of a chaos client: keeps a connection, whatever happens to it, and records what it receives. */

import type { Conversation } from "./conversation.ts";
import { step } from "./cursor.ts";
import { type Query, queryFrame } from "./query.ts";
import type { Random } from "./random.ts";
import type { Frame } from "./frames.ts";
import { isTerminal, readEvent } from "./reading.ts";
import type { Fault, SeenEvent, TabRecord, Visit } from "./records.ts";
import { count, type Tally } from "./tally.ts";
import { TextAssembly } from "./text_assembly.ts";
import { type Ended, hold } from "./visit_socket.ts";

export interface TabOptions {
  name: string;
  /** The address of its line: `ws://127.0.0.1:<port>`. */
  origin: string;
  /** The token of a signed-in user. */
  token: string | undefined;
  conversation: Conversation;
  random: Random;
  tally: Tally;
}

/** Close codes after which our client does not reconnect by itself. Nothing that this client does should cause them. */
const UNEXPECTED_CLOSES = [1000, 1002, 1003, 1007, 1008, 1009, 1011, 4001, 4003, 4009];
/** How often a query is sent again although it was acknowledged. */
const NEEDLESS_RESEND = 0.15;
/** How often a connection asks for short deltas. */
const SHORT_DELTAS = 0.5;
/** How often a connection asks for frames of tool calls. */
const TOOLS = 0.5;
const MAX_DELAY_MS = 1000;
const MIN_RETRY_MS = 150;

export class Tab {
  readonly record: TabRecord;
  /** The newest known `seq`. */
  cursor = 0;
  /** Queries whose end it has seen. */
  readonly ended = new Set<string>();
  /** Ids of the notifications it has seen. */
  readonly notices = new Set<string>();
  readonly #options: TabOptions;
  readonly #queries: Query[] = [];
  readonly #texts = new Map<string, { assembly: TextAssembly; visit: Visit }>();
  /** The queries of short deltas, by their `ref` on this connection. */
  readonly #refs = new Map<number, string>();
  readonly #stop = new AbortController();
  #send: ((text: string) => void) | undefined;
  #visit: Visit | undefined;
  #lostAt: number | undefined;
  #catchingUp: { toSeq: number; since: number } | undefined;
  /** The server has said that it closes the connection because the session is not in use. */
  #isIdle = false;

  constructor(options: TabOptions) {
    this.#options = options;
    this.record = { name: options.name, visits: [], faults: [] };
  }

  /** Connects again and again until {@linkcode stop}. */
  async run(): Promise<void> {
    const { random, tally } = this.#options;
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const startedAt = performance.now();
      const { code } = await this.#connect(startedAt);
      const wasWelcome = this.#visit !== undefined;
      this.#visit = this.#send = this.#catchingUp = undefined;
      if (this.#stop.signal.aborted) return;
      count(tally.closes, String(code));
      if (code === 1000 && this.#isIdle) tally.expiries++;
      else if (UNEXPECTED_CLOSES.includes(code)) {
        this.fault("unexplained", `the connection was closed with ${code}`);
      }
      if (wasWelcome) this.#lostAt = performance.now();
      failures = wasWelcome ? 0 : failures + 1;
      const delay = wasWelcome && code === 1012
        ? 0
        : random.int(0, Math.min(MAX_DELAY_MS, 60 * 2 ** failures));
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  ask(query: Query): void {
    this.#queries.push(query);
    this.#send?.(queryFrame(query));
  }

  /** Sends a frame if there is a connection; otherwise drops it. */
  say(frame: Readonly<Record<string, unknown>>): void {
    this.#send?.(JSON.stringify(frame));
  }

  fault(kind: Fault["kind"], detail: string): void {
    const conversation = this.#options.conversation.record.name;
    this.record.faults.push({ kind, conversation, detail: `${this.record.name}: ${detail}` });
  }

  #connect(startedAt: number): Promise<Ended> {
    const { origin, token, random, conversation: { session, chatId } } = this.#options;
    this.#isIdle = false;
    const query = new URLSearchParams({ stream: "true", heartbeat: "true" });
    if (this.#options.random.chance(SHORT_DELTAS)) query.set("deltas", "short");
    if (random.chance(TOOLS)) query.set("tools", "true");
    const protocols = ["agent-websocket.v1", ...(token === undefined ? [] : [`jwt-${token}`])];
    if (chatId !== undefined) query.set("chat_id", chatId);
    if (session !== undefined) {
      // The chat id alone finds the conversation as well.
      if (chatId === undefined || random.chance(0.5)) query.set("session_id", session.id);
      query.set("last_seq", String(this.cursor));
      if (session.resumeToken !== undefined) protocols.push(`resume-${session.resumeToken}`);
    }
    return hold(`${origin}/functions/v1/agent_websocket?${query}`, {
      protocols,
      signal: this.#stop.signal,
      onText: (text, send) => {
        this.#take(JSON.parse(text), send, startedAt);
      },
    });
  }

  #take(frame: Frame, send: (text: string) => void, startedAt: number): void {
    const { tally, conversation } = this.#options;
    if (frame.type === "notification" && frame.code === "connected") {
      return this.#enter(frame, send, startedAt);
    }
    if (frame.seq === undefined && conversation.deciding.answered(frame)) return;
    if (frame.type === "error" && frame.seq === undefined) return this.#refused(frame);
    const visit = this.#visit;
    if (visit === undefined) {
      // A worker that is ending admits no more clients.
      if (frame.code === "reconnecting") return;
      return this.fault("unexplained", `${frame.type} ${frame.code} before the welcome`);
    }
    if (frame.type === "delta") return this.#takeDelta(frame, visit);
    if (frame.code === "reconnecting") tally.rotations++;
    if (frame.code === "session_timeout") this.#isIdle = true;
    if (frame.code === "renamed") conversation.record.isRenamed = true;
    const event = readEvent(frame);
    if (event === undefined) return;
    const { cursor } = this;
    const judged = step(event, cursor, visit);
    visit.events.push(event);
    if (event.isAck) conversation.acknowledged(event.key);
    conversation.deciding.take(event, frame);
    if (judged === "known") return;
    this.cursor = Math.max(cursor, event.seq);
    this.#noteCaughtUp();
    if (event.kind === "query") conversation.acknowledged(event.key);
    if (event.kind === "notification") this.notices.add(event.key);
    if (isTerminal(event)) this.#takeEnd(event, visit);
  }

  #enter(frame: Frame, send: (text: string) => void, startedAt: number): void {
    const { tally, conversation, random } = this.#options;
    const { session_id: sessionId = "", resumed, resume_token: resumeToken } = frame;
    const isFirst = conversation.session === undefined;
    const visit: Visit = {
      at: performance.now(),
      lastSeq: this.cursor,
      ...(resumed && { resumed }),
      sessionId,
      events: [],
      resent: new Set(),
    };
    this.record.visits.push(visit);
    this.#refs.clear();
    this.#visit = visit;
    this.#send = send;
    if (isFirst) conversation.begin({ id: sessionId, resumeToken, durable: frame.durable === true });
    // A new session instead of ours: the checker reports it, and this conversation cannot continue.
    else if (conversation.session?.id !== sessionId) return conversation.giveUp();
    if (resumed?.recovered) {
      tally.resumes++;
      this.#catchingUp = { toSeq: resumed.to_seq, since: startedAt };
      this.#noteCaughtUp();
    }
    for (const query of this.#queries) {
      if (
        query.isOver
          ? !random.chance(NEEDLESS_RESEND / 20)
          : query.isAcknowledged && !random.chance(NEEDLESS_RESEND)
      ) {
        continue;
      }
      visit.resent.add(query.record.id);
      send(queryFrame(query));
    }
  }

  #noteCaughtUp(): void {
    const catching = this.#catchingUp;
    if (catching === undefined || this.cursor < catching.toSeq) return;
    const { tally } = this.#options;
    const now = performance.now();
    tally.caughtUpMs.push(now - catching.since);
    if (this.#lostAt !== undefined) tally.backMs.push(now - this.#lostAt);
    this.#catchingUp = this.#lostAt = undefined;
  }

  #refused({ code = "", in_reply_to: queryId, retryable, retry_after_ms: afterMs = 300 }: Frame): void {
    const { tally, conversation } = this.#options;
    count(tally.refusals, code);
    const query = this.#queries.find(({ record }) => record.id === queryId);
    if (!retryable) {
      this.fault("unexplained", `${queryId ?? "the connection"} was refused with ${code}`);
      return query === undefined ? undefined : conversation.refuse(query, code);
    }
    if (query === undefined) return;
    const visit = this.#visit;
    setTimeout(() => {
      if (visit === undefined || this.#visit !== visit || query.isOver) return;
      visit.resent.add(query.record.id);
      this.#send?.(queryFrame(query));
    }, Math.max(afterMs, MIN_RETRY_MS));
  }

  #takeDelta({ in_reply_to: named, ref = 0, offset = 0, content }: Frame, visit: Visit): void {
    const id = named ?? this.#refs.get(ref);
    if (id === undefined) return this.fault("foreign", `a delta of ${ref}, which no frame has named here`);
    this.#refs.set(ref, id);
    if (this.ended.has(id)) return this.#takeLate(`${id}: deltas after the end, first at ${offset}`, visit);
    let text = this.#texts.get(id);
    if (text === undefined) {
      const query = this.#options.conversation.queries.get(id);
      if (query === undefined) return this.fault("foreign", `a delta of ${id}, which nobody asked here`);
      text = { assembly: new TextAssembly(query.record.question), visit };
      this.#texts.set(id, text);
    }
    if (offset === 0) text.visit = visit;
    const problem = text.assembly.apply({ offset, content });
    if (problem !== undefined) this.fault("mismatched", `${id}: ${problem}`);
  }

  /** Applying it would cut off the end of a complete answer. Reported once per visit and query. */
  #takeLate(detail: string, visit: Visit): void {
    const number = this.record.visits.indexOf(visit) + 1;
    const where = `visit ${number}, after ${visit.lastSeq}, at ${this.cursor} now`;
    const [id] = detail.split(":");
    const isTold = this.record.faults.some((one) =>
      one.detail.includes(`${id}:`) && one.detail.includes(`visit ${number},`)
    );
    if (!isTold) this.fault("late", `${detail}; ${where}; ${new Date().toISOString()}`);
  }

  #takeEnd({ key, kind, text = "", code = "" }: SeenEvent, visit: Visit): void {
    const { tally, conversation } = this.#options;
    this.ended.add(key);
    const query = conversation.queries.get(key);
    // The checker finds events of other conversations in the log.
    if (query === undefined) return;
    const seen = this.#texts.get(key);
    const problem = (seen?.assembly ?? new TextAssembly(query.record.question)).end({ kind, text });
    if (problem !== undefined) this.fault("mismatched", `${key}: ${problem}`);
    if (kind === "response" && seen?.visit === visit && seen.assembly.text !== text) tally.shortTexts++;
    this.#texts.delete(key);
    if (!query.isOver) count(tally.ends, code === "" ? kind : code);
    conversation.over(key);
  }
}

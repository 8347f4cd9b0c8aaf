/**
 * One conversation on a socket of the AI SDK. To the session it is the socket of an ordinary connection; what the session sends becomes
 * the answers to the page's requests.
 */

import type { Clock, Socket } from "../ports/runtime.ts";
import type { Closing } from "../protocol/close_codes.ts";
import type { ErrorFrame, NotificationFrame, ServerFrame, StatusFrame } from "../protocol/server_frames.ts";
import type { Connection } from "../session/connection.ts";
import { AbortChecks } from "./abort_checks.ts";
import type { Answer, EndFrame } from "./answer.ts";
import { Answers, type Piece } from "./answers.ts";
import { ChunkStream, type GivenCalls } from "./chunk_stream.ts";
import type { Listeners } from "./listeners.ts";
import { type Pending, PendingRequests, type Purpose } from "./pending_requests.ts";
import type { Question } from "./question.ts";
import { Replies } from "./replies.ts";
import type { Reply } from "./reply.ts";

/** An answer that ended no longer ago is sent to a `resume`: its page may have lost the connection before the end. */
const RESUME_ENDED_MS = 600_000;
/** The id of the chat's own commands, unlike those of messages. */
const CANCEL_ID = "ai-sdk cancel";
/** The close code of a page that has gone. */
const NORMAL_CLOSURE = 1000;

export interface ChatOptions {
  clock: Clock;
  /** Of all sockets of the worker. */
  listeners: Listeners;
  /** Of a decision or a result, as a frame. */
  maxMessageBytes: number;
  /** Whether the page has no resume token, so that it must be told the new one. */
  tellsToken: boolean;
  /** Bytes that wait in the real socket. */
  bufferedAmount(): number;
  /** Sends a frame to the page. */
  send(text: string): void;
  onOpened(welcome: NotificationFrame): void;
  /** The session has closed the connection, after this refusal if there was one. */
  onClosed(closing: Closing, refusal: ErrorFrame | undefined): void;
}

export class Chat implements Socket {
  readonly #options: ChatOptions;
  readonly #pending = new PendingRequests();
  readonly #replies: Replies;
  readonly #abortChecks: AbortChecks;
  /** `replaying`: the newest events come. `open`: it is known which turns are open, so that a `resume` can be answered. */
  #state: "opening" | "replaying" | "open" | "closed" = "opening";
  #whenOpen: (() => void)[] = [];
  /** The newest event of the log when the chat was opened. */
  #openedAt = 0;
  #answers: Answers | undefined;
  #connection: Connection | undefined;
  #refusal: ErrorFrame | undefined;

  constructor(options: ChatOptions) {
    this.#options = options;
    this.#abortChecks = new AbortChecks(options.clock);
    this.#replies = new Replies({
      maxBytes: options.maxMessageBytes,
      pending: this.#pending,
      answers: () => this.#answers,
      handOn: (frame) => this.#connection?.handOn(frame),
    });
  }

  /** Whether no request waits for it. */
  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  has(requestId: string): boolean {
    return this.#pending.has(requestId);
  }

  /** Begins with its connection, and asks what was to be asked. */
  open(connection: Connection): void {
    this.#connection = connection;
    connection.opened();
    for (const { query } of this.#pending.questions) connection.handOn(query);
  }

  /** Asks a question for a request. While an answer waits for a decision, a question takes its place. */
  ask(requestId: string, question: Question): void {
    const { query } = question;
    const isWaiting = this.#answers?.newest?.isWaiting === true && query.replaces === undefined;
    if (isWaiting) query.policy ??= "interrupt";
    this.#pending.add(requestId, this.#stream(requestId), question);
    this.#connection?.handOn(query);
  }

  /** Answers a request with the newest answer, if that is being written or has just been. */
  resume(requestId: string): void {
    const pending = this.#pending.add(requestId, this.#stream(requestId), "resume");
    this.#onceOpen(() => {
      if (this.#pending.get(requestId) === pending) this.#answerResume(requestId, pending);
    });
  }

  /** Decides about tool calls, and answers a request with what follows. */
  reply(requestId: string, reply: Reply): void {
    const pending = this.#pending.add(requestId, this.#stream(requestId), "reply");
    this.#onceOpen(() => {
      if (this.#pending.get(requestId) === pending) this.#replies.send(requestId, pending, reply);
    });
  }

  /**
   * The page no longer listens to a request. For a question that is a stop. For a `resume` it is one only if no other request listens to
   * the answer a moment later: the newer of two resumes aborts the older one.
   */
  abort(requestId: string): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return this.#answers?.unsend(requestId);
    this.#pending.delete(requestId);
    const { stream, purpose, answer } = pending;
    answer?.leave(stream);
    if (typeof purpose !== "string") return this.#cancel(purpose.query.id);
    this.#abortChecks.add(
      () => this.#cancelUnheard(answer ?? this.#answers?.newest),
      (decide) => this.#onceOpen(decide),
    );
  }

  /** The requests without an answer, with what they are for. They are the caller's from now on. */
  takePending(): ReadonlyMap<string, Purpose> {
    return this.#pending.takeAll();
  }

  /** Leaves the conversation: the page has gone, or has too many. The answers go on. */
  leave(): void {
    if (this.#state === "closed") return;
    // While the page's other requests still listen.
    if (this.#state === "open") this.#abortChecks.decideNow();
    this.takePending();
    this.#end();
    this.#connection?.lost(NORMAL_CLOSURE);
  }

  get bufferedAmount(): number {
    return this.#options.bufferedAmount();
  }

  /** A frame of the session. */
  send(text: string): void {
    if (this.#state === "closed") return;
    const frame: ServerFrame | Piece = JSON.parse(text);
    if (frame.type === "delta" || frame.type === "reasoning") return this.#answers?.take(frame);
    this.#take(frame);
    if ("seq" in frame && frame.seq !== undefined) this.#seen(frame.seq);
  }

  /** The session closes the connection. */
  close(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#end();
    // Not before the connection waits for it.
    queueMicrotask(() => this.#connection?.lost(code));
    this.#options.onClosed({ code, reason }, this.#refusal);
  }

  #take(frame: Exclude<ServerFrame, Piece>): void {
    switch (frame.type) {
      case "query":
        return this.#openAnswer(frame.id, frame.turn_id);
      case "response":
        return this.#takeEnd(frame);
      case "error":
        return frame.seq === undefined ? this.#refused(frame) : this.#takeEnd(frame);
      case "status":
        return this.#takeStatus(frame);
      case "notification":
        if (frame.code === "connected" && frame.session_id !== undefined) return this.#welcomed(frame);
        return this.#takeNotice(frame);
      case "tool_call":
      case "approval_requested":
      case "approval_decided":
      case "tool_started":
      case "tool_result":
        return this.#answers?.takeTool(frame);
    }
  }

  #takeStatus(frame: StatusFrame): void {
    const { code, in_reply_to: queryId, turn_id: turnId } = frame;
    if (frame.id !== undefined) return this.#takeNotice(frame);
    this.#replies.accepted(queryId);
    if (queryId === undefined || turnId === undefined) return;
    if (code === "cancelled") this.#takeEnd({ ...frame, code });
    if (code === "thinking" || code === "queued") this.#openAnswer(queryId, turnId);
  }

  #welcomed(welcome: NotificationFrame): void {
    const { session_id: sessionId = "", resume_token: token, resumed } = welcome;
    const { listeners, tellsToken, onOpened } = this.#options;
    if (this.#connection === undefined) return;
    this.#answers = new Answers({
      clock: this.#options.clock,
      info: { sessionId, resumeToken: tellsToken ? token : undefined },
      listeners,
      memory: this.#connection.memory,
      threadOf: (turnId) => this.#connection?.session?.threadOf(turnId),
      onPaused: ({ turnId }) => void this.#pending.takeListeners(turnId),
    });
    this.#state = "replaying";
    this.#openedAt = resumed?.to_seq ?? 0;
    onOpened(welcome);
    if (resumed === undefined || resumed.from_seq > resumed.to_seq) this.#seen(this.#openedAt);
  }

  /** Once the newest event was replayed it is known which turns are open. Their questions may be older than the replay. */
  #seen(seq: number): void {
    if (this.#state !== "replaying" || seq < this.#openedAt) return;
    this.#answers?.order(this.#connection?.session?.openTurns ?? []);
    this.#state = "open";
    for (const task of this.#whenOpen.splice(0)) task();
  }

  /** A turn without an end. Requests that wait for its query listen to it. */
  #openAnswer(queryId: string, turnId: string): void {
    const answer = this.#answers?.open(queryId, turnId);
    if (answer === undefined) return;
    for (const [, pending] of this.#pending.asking(queryId)) this.#listen(pending, answer);
  }

  #listen(pending: Pending, answer: Answer, given?: GivenCalls): void {
    pending.answer = answer;
    this.#answers?.listen(answer, pending.stream, given);
  }

  #takeEnd(frame: EndFrame): void {
    const { in_reply_to: queryId, turn_id: turnId } = frame;
    if (queryId === undefined || turnId === undefined) return;
    // A question that was asked before is answered by its end alone.
    if (this.#pending.asks(queryId)) this.#openAnswer(queryId, turnId);
    this.#answers?.end(frame, this.#pending.takeListeners(turnId));
  }

  #answerResume(requestId: string, pending: Pending): void {
    const { stream } = pending;
    const newest = this.#answers?.newest;
    if (newest !== undefined) {
      stream.found();
      return this.#listen(pending, newest);
    }
    this.#pending.delete(requestId);
    const since = this.#options.clock.now() - RESUME_ENDED_MS;
    if (this.#answers?.repeatLast(requestId, stream, since) !== true) stream.nothing();
  }

  /** Notices about the connection have no id. What was there before the page is no news. */
  #takeNotice(frame: NotificationFrame | StatusFrame): void {
    const isOld = frame.seq !== undefined && frame.seq <= this.#openedAt;
    if (frame.id !== undefined && !isOld) this.#answers?.takeNotice(frame);
  }

  /** The connection was refused, or a query. */
  #refused(frame: ErrorFrame): void {
    if (frame.in_reply_to === undefined) return void (this.#refusal = frame);
    if (this.#replies.refused(frame)) return;
    // A turn that is known ends by its own event.
    for (const [requestId, pending] of this.#pending.asking(frame.in_reply_to)) {
      const otherwise = typeof pending.purpose === "string" ? undefined : pending.purpose.otherwise;
      if (frame.code !== "unknown_query" || otherwise === undefined) {
        this.#pending.fail(requestId, frame.code, frame.content);
        continue;
      }
      pending.purpose = { query: otherwise };
      this.#connection?.handOn(otherwise);
    }
  }

  #cancelUnheard(answer: Answer | undefined): void {
    if (answer === undefined || this.#options.listeners.has(answer.turnId)) return;
    if (this.#answers?.isOpen(answer) === true) this.#cancel(answer.queryId);
  }

  #cancel(queryId: string): void {
    this.#connection?.handOn({ type: "command", verb: "cancel", id: CANCEL_ID, args: { id: queryId } });
  }

  #onceOpen(task: () => void): void {
    if (this.#state === "open") task();
    else if (this.#state !== "closed") this.#whenOpen.push(task);
  }

  #stream(requestId: string): ChunkStream {
    return new ChunkStream(requestId, (text) => this.#options.send(text));
  }

  #end(): void {
    this.#state = "closed";
    this.#whenOpen = [];
    this.#abortChecks.clear();
    this.#answers?.drop();
  }
}

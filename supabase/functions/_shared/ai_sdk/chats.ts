/** The conversations of one socket of the AI SDK, by the page's own ids. */

import type { Identity } from "../guard/identity.ts";
import type { CancelTimer } from "../ports/runtime.ts";
import { CLOSE, type Closing } from "../protocol/close_codes.ts";
import type { ErrorFrame } from "../protocol/server_frames.ts";
import { Chat } from "./chat.ts";
import { ChunkStream } from "./chunk_stream.ts";
import type { DoorDeps, DoorRequest } from "./door_deps.ts";
import type { Listeners } from "./listeners.ts";
import type { Question } from "./question.ts";
import type { Reply } from "./reply.ts";

/** Conversations of one socket. For one more, that which has been idle longest is left. */
const MAX_CHATS = 16;
/** The newest events of a conversation are replayed when it is opened: they show whether an answer has just ended. */
const REPLAYED_EVENTS = 20;

/** Closes after which the page must connect again. Any other concerns one conversation. */
const SOCKET_CLOSES: ReadonlySet<number> = new Set([
  CLOSE.workerReplaced.code,
  CLOSE.slowConsumer.code,
  CLOSE.unauthorized.code,
  CLOSE.forbidden.code,
]);

export interface ChatsOptions {
  deps: DoorDeps;
  listeners: Listeners;
  request: DoorRequest;
  identity: Identity;
  /** Bytes that wait in the socket. */
  bufferedAmount(): number;
  send(text: string): void;
  close(closing: Closing): void;
}

export class Chats {
  readonly #options: ChatsOptions;
  /** Least recently used first. */
  readonly #chats = new Map<string, Chat>();
  /** Of an anonymous page: the one that it sent, or the first that the server made. */
  #resumeToken: string | undefined;
  /** Requests that wait for the first token: all conversations of an anonymous page have the same. */
  #waiting: Map<string, () => void> | undefined;
  #isDraining = false;
  #cancelIdle: CancelTimer | undefined;

  constructor(options: ChatsOptions) {
    this.#options = options;
    this.#resumeToken = options.request.resumeToken;
    this.#watchIdle();
  }

  /** Whether the request is not answered yet. */
  has(requestId: string): boolean {
    if (this.#waiting?.has(requestId) === true) return true;
    return [...this.#chats.values()].some((chat) => chat.has(requestId));
  }

  ask(chatId: string, requestId: string, question: Question): void {
    const known = this.#use(chatId);
    if (known !== undefined) return known.ask(requestId, question);
    if (this.#waiting !== undefined) {
      return void this.#waiting.set(requestId, () => this.ask(chatId, requestId, question));
    }
    const { identity } = this.#options;
    if (identity.kind === "anonymous" && this.#resumeToken === undefined) this.#waiting = new Map();
    this.#open(chatId, requestId, { mustExist: false }, (chat) => chat.ask(requestId, question));
  }

  resume(chatId: string, requestId: string): void {
    const known = this.#use(chatId);
    if (known !== undefined) return known.resume(requestId);
    const { identity } = this.#options;
    // Without a token no conversation can be reached.
    if (identity.kind === "anonymous" && this.#resumeToken === undefined) {
      return this.#stream(requestId).nothing();
    }
    this.#open(chatId, requestId, { mustExist: true }, (chat) => chat.resume(requestId));
  }

  /** Decides about tool calls of an answer. */
  reply(chatId: string, requestId: string, reply: Reply): void {
    const known = this.#use(chatId);
    if (known !== undefined) return known.reply(requestId, reply);
    this.#open(chatId, requestId, { mustExist: true }, (chat) => chat.reply(requestId, reply));
  }

  abort(requestId: string): void {
    if (this.#waiting?.delete(requestId) === true) return;
    for (const chat of this.#chats.values()) chat.abort(requestId);
  }

  /** The worker is being replaced: the page is sent away when no answer is being sent to it. */
  drain(): void {
    this.#isDraining = true;
    this.#leaveIfIdle();
  }

  /** The page has gone. The answers go on. */
  leave(): void {
    this.#cancelIdle?.();
    this.#waiting = undefined;
    for (const chat of this.#chats.values()) chat.leave();
    this.#chats.clear();
  }

  #use(chatId: string): Chat | undefined {
    const chat = this.#chats.get(chatId);
    if (chat === undefined) return undefined;
    this.#chats.delete(chatId);
    this.#chats.set(chatId, chat);
    return chat;
  }

  #open(
    chatId: string,
    requestId: string,
    { mustExist }: { mustExist: boolean },
    begin: (chat: Chat) => void,
  ): void {
    const { deps, listeners, request, bufferedAmount, send } = this.#options;
    if (this.#isDraining) {
      this.#stream(requestId).fail("shutting_down", "Cannot take request: this worker is being replaced");
      return this.#askWaiting();
    }
    if (!this.#makeRoom()) {
      const words = `Cannot open conversation: ${MAX_CHATS} of this socket wait for answers`;
      return this.#stream(requestId).fail("too_many_connections", words);
    }
    const chat: Chat = new Chat({
      clock: deps.clock,
      listeners,
      maxMessageBytes: deps.maxMessageBytes,
      tellsToken: request.resumeToken === undefined,
      bufferedAmount,
      send,
      onOpened: ({ resume_token: token }) => this.#learnToken(token),
      onClosed: (closing, refusal) => this.#closed({ chatId, chat, mustExist }, closing, refusal),
    });
    this.#chats.set(chatId, chat);
    this.#cancelIdle?.();
    begin(chat);
    chat.open(deps.server.connect(chat, {
      token: request.token,
      agent: request.agent,
      stream: true,
      reasoning: true,
      tools: true,
      shortDeltas: true,
      heartbeat: false,
      resume: {
        sessionId: undefined,
        chatId,
        lastSeq: -REPLAYED_EVENTS,
        token: this.#resumeToken,
        mustExist,
      },
      resumeToken: this.#resumeToken,
      origin: request.origin,
      address: request.address,
      isCarried: true,
    }));
  }

  /** Whether there is a place for another conversation. */
  #makeRoom(): boolean {
    if (this.#chats.size < MAX_CHATS) return true;
    for (const [chatId, chat] of this.#chats) {
      if (!chat.isIdle) continue;
      this.#chats.delete(chatId);
      chat.leave();
      return true;
    }
    return false;
  }

  #learnToken(token: string | undefined): void {
    this.#resumeToken ??= token;
    this.#askWaiting();
  }

  #askWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const ask of waiting?.values() ?? []) ask();
  }

  #closed(
    { chatId, chat, mustExist }: { chatId: string; chat: Chat; mustExist: boolean },
    closing: Closing,
    refusal: ErrorFrame | undefined,
  ): void {
    if (this.#chats.get(chatId) === chat) this.#chats.delete(chatId);
    const pending = chat.takePending();
    if (SOCKET_CLOSES.has(closing.code)) {
      const isHandedOver = closing.code === CLOSE.workerReplaced.code;
      return isHandedOver && pending.size === 0 ? this.#leaveIfIdle() : this.#options.close(closing);
    }
    const isUnknown = mustExist && refusal?.code === "unknown_session";
    for (const [requestId, purpose] of pending) {
      if (isUnknown && typeof purpose !== "string") this.ask(chatId, requestId, purpose);
      else if (isUnknown && purpose === "resume") this.#stream(requestId).nothing();
      else this.#fail(requestId, closing, refusal);
    }
    // The one that would have brought the token: another may bring it.
    this.#askWaiting();
    if (this.#chats.size > 0) return;
    if (closing.code === CLOSE.sessionTimeout.code) return this.#options.close(CLOSE.sessionTimeout);
    this.#watchIdle();
  }

  #fail(requestId: string, { reason }: Closing, refusal: ErrorFrame | undefined): void {
    const { code, content } = refusal ??
      { code: "unknown_session", content: `The conversation was closed: ${reason}` };
    this.#stream(requestId).fail(code, content);
  }

  #leaveIfIdle(): void {
    if (!this.#isDraining || [...this.#chats.values()].some(({ isIdle }) => !isIdle)) return;
    this.#options.close(CLOSE.workerReplaced);
  }

  /** A socket without a conversation is closed like an idle session. */
  #watchIdle(): void {
    const { deps: { clock, idleTimeoutMs }, close } = this.#options;
    this.#cancelIdle?.();
    if (idleTimeoutMs > 0) this.#cancelIdle = clock.after(idleTimeoutMs, () => close(CLOSE.sessionTimeout));
  }

  #stream(requestId: string): ChunkStream {
    return new ChunkStream(requestId, (text) => this.#options.send(text));
  }
}

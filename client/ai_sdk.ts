/**
 * The client as a transport of the AI SDK. With it, `useChat` and similar hooks talk to the agent over the WebSocket:
 *
 * ```ts
 * const client = new AgentClient(url, { getToken, storage: sessionStorage });
 * const { messages, sendMessage, stop } = useChat({ transport: new AgentChatTransport(client), resume: true });
 * ```
 */

import type { ChatTransport, UIMessage, UIMessageChunk } from "ai";
import { answerChunks } from "./answer_chunks.ts";
import { CallReplies } from "./call_replies.ts";
import type { AgentClient } from "./client.ts";
import { AgentClientError } from "./error.ts";
import type { AskOptions } from "./options.ts";
import type { QueryFields } from "./frames.ts";
import { IdleConnections } from "./idle_connections.ts";
import { isOpen, openTurnOf } from "./open_turn.ts";
import { type Clock, systemClock } from "./ports.ts";
import { isWaiting, type Reply, replyOf, toolsOf } from "./tool_chunks.ts";
import type { ToolClient } from "./tool_client.ts";
import type { Turn } from "./turn.ts";

/** What the `body` of a request may contain: `sendMessage({ text }, { body: { priority: "high" } })`. */
export interface AgentRequestBody extends Pick<QueryFields, "priority" | "policy" | "options"> {
  /** Edited inputs of tool calls that the page approves, by the ids of the calls. */
  inputs?: Readonly<Record<string, unknown>>;
}

export interface AgentChatTransportOptions {
  /** For tests. Default: the runtime's clock. */
  clock?: Clock;
}

/**
 * How soon a new resume follows the abort of the one whose place it takes. The AI SDK and React's StrictMode do both in one
 * task. While a page is being built, a component may be mounted again a moment later.
 */
const SUPERSEDED_WITHIN_MS = 250;
/** How long after a resume the page may still be being built. */
const MOUNTING_MS = 500;
/** The longest id of a message that becomes the id of a query. The server takes 128 characters. */
const MAX_ID = 100;

/**
 * With a client, the transport is for one chat, whatever its id is. With a function that gives the client of a chat id, it
 * is for all of them: `new AgentChatTransport((id) => client.chat(id))` with `useChat({ id, transport })`. Then the transport
 * also opens and closes connections: it closes those of chats in which nothing is asked, except for the three that were used
 * last.
 *
 * The server keeps the conversation, so only the text of the last user message is sent. The query has the id of that
 * message. To regenerate an answer, or to edit a message, the client sends a query that replaces the earlier one. `stop()`
 * cancels the turn; a lost connection or a reload does not. A `resumeStream()` that takes the place of another one, as in
 * React's StrictMode, stops nothing.
 *
 * With a client of `agent-websocket-client/tools`, tool calls are `dynamic-tool` parts. When the answer waits for a decision or for
 * a tool of the page, the stream ends. The hook sends `addToolApprovalResponse` and `addToolOutput` with `sendAutomaticallyWhen`, and the
 * same answer goes on. A question that is asked instead takes the place of the answer.
 *
 * If the client has the option `reasoning`, what the model thinks becomes reasoning parts.
 *
 * An answer's message has the id `answer-<turn id>`. When it is finished, its `metadata` is `{turnId, model, usage}`. A
 * message that another function sends while an answer is written becomes a part `data-notification`. For messages at other
 * times, use `client.on("notification")`. Errors are `AgentClientError`s.
 */
export class AgentChatTransport<Message extends UIMessage = UIMessage> implements ChatTransport<Message> {
  /** A resumed answer is streamed from its beginning. */
  readonly resumeStreamIsReplay = true;
  readonly #clientOf: (chatId: string) => AgentClient;
  readonly #clock: Clock;
  /** How often each turn was resumed. */
  readonly #resumes = new WeakMap<Turn, number>();
  /** The newest question of each chat that was asked here. */
  readonly #asked = new WeakMap<AgentClient, Turn>();
  /** Undefined if the transport is for one client. */
  readonly #connections: IdleConnections | undefined;

  constructor(
    client: AgentClient | ((chatId: string) => AgentClient),
    { clock = systemClock }: AgentChatTransportOptions = {},
  ) {
    if (typeof client === "function") {
      const connections = this.#connections = new IdleConnections();
      this.#clientOf = (chatId): AgentClient => connections.use(client(chatId));
    } else this.#clientOf = (): AgentClient => client;
    this.#clock = clock;
  }

  readonly sendMessages: ChatTransport<Message>["sendMessages"] = (
    { chatId, trigger, messageId, messages, abortSignal, body },
  ) => {
    const client = this.#clientOf(chatId);
    const { priority, options, inputs = {}, policy: wanted } = (body ?? {}) as AgentRequestBody;
    const reply = trigger === "submit-message" ? replyOf(messages.at(-1), inputs) : undefined;
    const tools = toolsOf(client);
    if (reply !== undefined && tools !== undefined) return this.#reply(tools, reply, abortSignal);
    const question = messages.findLast(({ role }) => role === "user");
    // The answer that waits is given up, or this one would wait behind it.
    const policy = wanted ?? (isWaiting(tools?.calls ?? [], tools) ? "interrupt" : undefined);
    const isAnother = trigger === "regenerate-message" || messageId === question?.id;
    const turn = client.query(textOf(question), {
      ...placeOf(question?.id ?? "", isAnother, client.turns),
      ...(priority && { priority }),
      ...(policy && { policy }),
      ...(options && { options }),
    });
    this.#asked.set(client, turn);
    const cancel = (): void => turn.cancel();
    if (abortSignal?.aborted) cancel();
    abortSignal?.addEventListener("abort", cancel, { once: true });
    return Promise.resolve(this.#stream(turn, client));
  };

  /**
   * Resumes the running answer. After a reload, that is the answer that was unfinished when the user left the page. If the
   * transport is for several chats, it may have been asked for in another tab or on another device.
   */
  readonly reconnectToStream: ChatTransport<Message>["reconnectToStream"] = async (
    { chatId, abortSignal },
  ) => {
    if (abortSignal?.aborted) return null;
    const client = this.#clientOf(chatId);
    const turn = openTurnOf(client) ?? await this.#runningAtServer(client, abortSignal);
    if (turn === undefined || abortSignal?.aborted) return null;
    this.#resumes.set(turn, this.#resumesOf(turn) + 1);
    const resumedAt = this.#clock.now();
    // The AI SDK aborts a resume when the user stops, and also when another resume takes its place.
    abortSignal?.addEventListener("abort", () => {
      const resumes = this.#resumesOf(turn);
      const isMounting = this.#clock.now() - resumedAt < MOUNTING_MS;
      this.#clock.after(isMounting ? SUPERSEDED_WITHIN_MS : 0, () => {
        if (this.#resumesOf(turn) === resumes) turn.cancel();
      });
    }, { once: true });
    void client.connect();
    return this.#stream(turn, client);
  };

  /** Sends what the page says about tool calls, and streams the rest of their answer. */
  async #reply(
    client: ToolClient,
    reply: Reply,
    abortSignal: AbortSignal | undefined,
  ): Promise<ReadableStream<UIMessageChunk>> {
    const find = (): Turn | undefined => client.turns.find(({ turnId }) => turnId === reply.turnId);
    // After a reload the client may not have received it yet.
    if (find() === undefined) await caughtUp(client);
    const turn = find();
    if (turn === undefined) {
      throw new AgentClientError("unknown_turn", "Cannot go on: the answer is not known");
    }
    abortSignal?.addEventListener("abort", () => turn.cancel(), { once: true });
    return this.#stream(turn, client, new CallReplies(client, reply));
  }

  #stream(turn: Turn, client: AgentClient, replies?: CallReplies): ReadableStream<UIMessageChunk> {
    return toStream(answerChunks(turn, client, { clock: this.#clock, ...(replies && { replies }) }));
  }

  /** The running answer that only the server knows of. Undefined at once if the transport is for one client. */
  async #runningAtServer(client: AgentClient, signal: AbortSignal | undefined): Promise<Turn | undefined> {
    const connections = this.#connections;
    if (connections === undefined) return undefined;
    const aborted = new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
    const found = caughtUp(client).catch((why) => {
      // Its chat is no longer shown.
      if (!connections.hasClosed(client)) throw why;
    });
    await Promise.race([found, aborted]);
    const asked = this.#asked.get(client);
    if (asked === undefined || !isOpen(asked)) return openTurnOf(client);
    // The user did not wait for the connection. The AI SDK takes "nothing to resume" as the end of that answer too.
    await Promise.race([asked.final.catch(() => {}), aborted]);
    return undefined;
  }

  #resumesOf(turn: Turn): number {
    return this.#resumes.get(turn) ?? 0;
  }
}

/** Connects, and resolves when the client has received what it had missed, or is closed. */
async function caughtUp(client: AgentClient): Promise<void> {
  await client.connect();
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (client.session?.isCaughtUp === false && client.status !== "closed") return;
      stopMessages();
      stopClose();
      resolve();
    };
    const stopMessages = client.on("message", look);
    const stopClose = client.on("close", look);
    look();
  });
}

/**
 * The id of a query, and the query that it replaces. A message that is sent for the first time gives the query its id, so
 * that it is one query however often it is sent. Another answer to it needs another id: a random one, because after a
 * reload the page does not know which ids there were.
 */
function placeOf(
  messageId: string,
  isAnother: boolean,
  turns: readonly Turn[],
): Pick<AskOptions, "id" | "replaces"> {
  if (messageId === "" || messageId.length > MAX_ID) return {};
  const asked = turns.findLast(({ id }) => id === messageId || id.startsWith(`${messageId}~`));
  const isEnded = asked !== undefined && !isOpen(asked);
  if (!isAnother && !isEnded) return { id: asked?.id ?? messageId };
  const random = Math.floor(Math.random() * 2 ** 40).toString(36);
  return { id: `${messageId}~${random}`, replaces: asked?.id ?? messageId };
}

/** The text of a message. Throws if it has files: the agent accepts only text. */
function textOf({ parts }: Pick<UIMessage, "parts"> = { parts: [] }): string {
  if (parts.some(({ type }) => type === "file")) {
    throw new TypeError("Cannot send files: the agent takes text");
  }
  return parts.map((part) => part.type === "text" ? part.text : "").join("");
}

function toStream(chunks: AsyncGenerator<UIMessageChunk, void, undefined>): ReadableStream<UIMessageChunk> {
  return new ReadableStream<UIMessageChunk>({
    async pull(controller): Promise<void> {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    // Do not await this: it only ends at the next chunk.
    cancel: () => void chunks.return(),
  }, { highWaterMark: 0 });
}

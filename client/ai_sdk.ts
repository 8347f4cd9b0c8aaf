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
import type { AgentClient } from "./client.ts";
import type { AskOptions } from "./options.ts";
import type { QueryFields } from "./frames.ts";
import { type Clock, systemClock } from "./ports.ts";
import type { Turn } from "./turn.ts";

/** What the `body` of a request may contain: `sendMessage({ text }, { body: { priority: "high" } })`. */
export type AgentRequestBody = Pick<QueryFields, "priority" | "policy" | "options">;

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
const UNENDED: readonly string[] = ["waiting", "queued", "running"];

/**
 * With a client, the transport is for one chat, whatever its id is. With a function that gives the client of a chat id, it
 * is for all of them: `new AgentChatTransport((id) => client.chat(id))` with `useChat({ id, transport })`.
 *
 * The server keeps the conversation, so only the text of the last user message is sent. The query has the id of that
 * message. To regenerate an answer, or to edit a message, the client sends a query that replaces the earlier one. `stop()`
 * cancels the turn; a lost connection or a reload does not. A `resumeStream()` that takes the place of another one, as in
 * React's StrictMode, stops nothing.
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

  constructor(
    client: AgentClient | ((chatId: string) => AgentClient),
    { clock = systemClock }: AgentChatTransportOptions = {},
  ) {
    this.#clientOf = typeof client === "function" ? client : (): AgentClient => client;
    this.#clock = clock;
  }

  readonly sendMessages: ChatTransport<Message>["sendMessages"] = (
    { chatId, trigger, messageId, messages, abortSignal, body },
  ) => {
    const client = this.#clientOf(chatId);
    const question = messages.findLast(({ role }) => role === "user");
    const { priority, policy, options } = (body ?? {}) as AgentRequestBody;
    const isAnother = trigger === "regenerate-message" || messageId === question?.id;
    const turn = client.query(textOf(question), {
      ...placeOf(question?.id ?? "", isAnother, client.turns),
      ...(priority && { priority }),
      ...(policy && { policy }),
      ...(options && { options }),
    });
    const cancel = (): void => turn.cancel();
    if (abortSignal?.aborted) cancel();
    abortSignal?.addEventListener("abort", cancel, { once: true });
    return Promise.resolve(toStream(turn, client));
  };

  /** Resumes the running answer. After a reload, that is the answer that was unfinished when the user left the page. */
  readonly reconnectToStream: ChatTransport<Message>["reconnectToStream"] = ({ chatId, abortSignal }) => {
    const client = this.#clientOf(chatId);
    const turn = client.turns.findLast(({ state }) => UNENDED.includes(state));
    if (turn === undefined || abortSignal?.aborted) return Promise.resolve(null);
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
    return Promise.resolve(toStream(turn, client));
  };

  #resumesOf(turn: Turn): number {
    return this.#resumes.get(turn) ?? 0;
  }
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
  const isEnded = asked !== undefined && !UNENDED.includes(asked.state);
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

function toStream(turn: Turn, client: AgentClient): ReadableStream<UIMessageChunk> {
  const chunks = answerChunks(turn, client);
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

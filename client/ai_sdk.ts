/**
 * The client as a transport of the AI SDK. With it, `useChat` and similar hooks talk to the agent over the WebSocket:
 *
 * ```ts
 * const client = new AgentClient(url, { getToken, storage: sessionStorage });
 * const { messages, sendMessage, stop } = useChat({ transport: new AgentChatTransport(client), resume: true });
 * ```
 */

import type { ChatTransport, UIMessage, UIMessageChunk } from "ai";
import type { AgentClient } from "./client.ts";
import type { QueryFields } from "./frames.ts";
import type { Answer, Piece, Turn } from "./turn.ts";

/** Finish reasons that the AI SDK names differently. */
type FinishReason = (UIMessageChunk & { type: "finish" })["finishReason"];

/** What the `body` of a request may contain: `sendMessage({ text }, { body: { priority: "high" } })`. */
export type AgentRequestBody = Pick<QueryFields, "priority" | "policy" | "options">;

/**
 * One client is one session and one chat: `chatId` is ignored. The server keeps the conversation, so only the text of
 * the last user message is sent. To regenerate an answer, the client sends that text again. `stop()` cancels the turn;
 * leaving the page does not.
 *
 * If the client has the option `reasoning`, what the model thinks becomes reasoning parts.
 *
 * An answer's message has the query's id. When it is finished, its `metadata` is `{turnId, model, usage}`. A message
 * that another function sends while an answer is written becomes a part `data-notification`. For messages at other
 * times, use `client.on("notification")`. Errors are `AgentClientError`s.
 */
export class AgentChatTransport<Message extends UIMessage = UIMessage> implements ChatTransport<Message> {
  /** A resumed answer is streamed from its beginning. */
  readonly resumeStreamIsReplay = true;
  readonly #client: AgentClient;

  constructor(client: AgentClient) {
    this.#client = client;
  }

  readonly sendMessages: ChatTransport<Message>["sendMessages"] = ({ messages, abortSignal, body }) => {
    const { priority, policy, options } = (body ?? {}) as AgentRequestBody;
    const turn = this.#client.query(lastQuestion(messages), {
      ...(priority && { priority }),
      ...(policy && { policy }),
      ...(options && { options }),
    });
    const cancel = (): void => turn.cancel();
    if (abortSignal?.aborted) cancel();
    abortSignal?.addEventListener("abort", cancel, { once: true });
    return Promise.resolve(this.#stream(turn));
  };

  /** Resumes the running answer. After a reload, that is the answer that was unfinished when the user left the page. */
  readonly reconnectToStream: ChatTransport<Message>["reconnectToStream"] = ({ abortSignal }) => {
    const turn = this.#client.turns.findLast(({ state }) => ["waiting", "queued", "running"].includes(state));
    if (turn === undefined) return Promise.resolve(null);
    abortSignal?.addEventListener("abort", () => turn.cancel(), { once: true });
    void this.#client.connect();
    return Promise.resolve(this.#stream(turn));
  };

  #stream(turn: Turn): ReadableStream<UIMessageChunk> {
    const chunks = toChunks(turn, this.#client);
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
}

/** The text of the last user message. Throws if it has no text, or if it has files: the agent accepts only text. */
function lastQuestion(messages: readonly UIMessage[]): string {
  const { parts = [] } = messages.findLast(({ role }) => role === "user") ?? {};
  if (parts.some(({ type }) => type === "file")) {
    throw new TypeError("Cannot send files: the agent takes text");
  }
  return parts.map((part) => part.type === "text" ? part.text : "").join("");
}

/**
 * The chunks of one answer, in the AI SDK's format. Text and reasoning are parts of their own: each change from one to the
 * other, and each new beginning of the reasoning, ends a part and starts the next.
 */
async function* toChunks(turn: Turn, client: AgentClient): AsyncGenerator<UIMessageChunk, void, undefined> {
  const { id } = turn;
  const notices: UIMessageChunk[] = [];
  let notice = (): void => {};
  const end = client.on("notification", ({ id: key, content, code, data, source }) => {
    // Notices about the connection have no id.
    if (key === undefined) return;
    notices.push({ type: "data-notification", id: key, data: { content, code, data, source } });
    notice();
  });
  try {
    yield { type: "start", messageId: id };
    const pieces = turn.pieces()[Symbol.asyncIterator]();
    let open: { type: Piece["type"]; id: string } | undefined;
    let parts = 0;
    let next = pieces.next();
    for (;;) {
      const noticed = new Promise<undefined>((resolve) => notice = () => resolve(undefined));
      const piece = notices.length > 0 ? undefined : await Promise.race([next, noticed]);
      yield* notices.splice(0);
      if (piece === undefined) continue;
      if (piece.done) break;
      const { type, offset, text } = piece.value;
      if (open?.type !== type || (type === "reasoning" && offset === 0)) {
        if (open !== undefined) yield { type: `${open.type}-end`, id: open.id };
        open = { type, id: parts === 0 ? id : `${id}-${parts}` };
        parts++;
        yield { type: `${type}-start`, id: open.id };
      }
      yield { type: `${type}-delta`, id: open.id, delta: text };
      next = pieces.next();
    }
    if (open !== undefined) yield { type: `${open.type}-end`, id: open.id };
    yield toEnd(await turn.final);
  } finally {
    end();
  }
}

function toEnd({ outcome, finishReason, turnId, model, usage }: Answer): UIMessageChunk {
  if (outcome === "cancelled") return { type: "abort", reason: finishReason };
  return {
    type: "finish",
    finishReason: toFinishReason(finishReason),
    messageMetadata: { turnId, model, usage },
  };
}

function toFinishReason(reason: string): Exclude<FinishReason, undefined> {
  if (reason === "content_filter") return "content-filter";
  return reason === "stop" || reason === "length" ? reason : "other";
}

/** One answer in the AI SDK's format. */

import type { UIMessageChunk } from "ai";
import { type AnswerSoFar, AnswerWriter, type Notice } from "./answer_writer.ts";
import type { CallReplies } from "./call_replies.ts";
import type { AgentClient } from "./client.ts";
import { isOpen } from "./open_turn.ts";
import type { Clock } from "./ports.ts";
import { isWaiting, toolsOf } from "./tool_chunks.ts";
import type { Answer, Turn } from "./turn.ts";

type FinishReason = (UIMessageChunk & { type: "finish" })["finishReason"];

/** The events of one step come at once. After this time without another one, the stream of an answer that waits ends. */
const PAUSE_MS = 50;

export interface AnswerOptions {
  clock: Clock;
  /** What the page says about calls that wait, if it goes on with an answer that it has in part. */
  replies?: CallReplies;
}

/**
 * The chunks of one answer. Text and reasoning are parts of their own: each change from one to the other, and each new
 * beginning of the reasoning, ends a part and starts the next. If the answer is restarted with other text, the message is
 * emptied (`reset-step`, since ai 7.0.70) and built again. What follows tool calls is another step. If the answer waits for
 * a decision, or for a tool of the page, the stream ends, so that the page can send that.
 */
export async function* answerChunks(
  turn: Turn,
  client: AgentClient,
  { clock, replies }: AnswerOptions,
): AsyncGenerator<UIMessageChunk, void, undefined> {
  const notices = new Notices(turn, client);
  const changes = new Changes(turn, client, clock);
  if (replies !== undefined) replies.onChange = (): void => changes.happened();
  try {
    const id = await notices.messageId;
    if (id !== undefined) yield { type: "start", messageId: id };
    const tools = toolsOf(client);
    const soFar = (): AnswerSoFar => {
      return { turn, steps: tools?.stepsOf(turn.turnId ?? "") ?? [], notices: notices.all };
    };
    const writer = new AnswerWriter(id ?? turn.id, replies?.given);
    if (replies !== undefined) writer.skip(soFar());
    for (;;) {
      const isEnd = !isOpen(turn);
      yield* notices.takeNew();
      yield* writer.write(soFar());
      if (replies?.error !== undefined) throw replies.error;
      if (isEnd) break;
      const calls = soFar().steps.at(-1)?.calls ?? [];
      const waits = isWaiting(calls, tools, (callId) => replies?.isDue(callId) === true);
      if (await changes.next(waits ? PAUSE_MS : undefined)) continue;
      yield* writer.end();
      return yield { type: "finish", finishReason: "tool-calls", messageMetadata: { turnId: turn.turnId } };
    }
    yield* writer.end();
    yield toEnd(await turn.final);
  } finally {
    notices.end();
    changes.end();
  }
}

/** Tells of changes of a turn and of its calls. */
class Changes {
  readonly #clock: Clock;
  readonly #unsubscribe: (() => void)[];
  #hasChanged = false;
  #wake = (): void => {};

  constructor(turn: Turn, client: AgentClient, clock: Clock) {
    this.#clock = clock;
    this.#unsubscribe = [
      client.on("turn", (changed) => changed === turn && this.happened()),
      client.on("notification", () => this.happened()),
      toolsOf(client)?.on("call", ({ turnId }) => turnId === turn.turnId && this.happened()) ??
        ((): void => {}),
    ];
  }

  happened(): void {
    this.#hasChanged = true;
    this.#wake();
  }

  /** Resolves with true after a change, at once if there was one; with false if there is none within this time. */
  async next(withinMs?: number): Promise<boolean> {
    if (!this.#hasChanged) {
      await new Promise<void>((resolve) => {
        const cancel = withinMs === undefined ? undefined : this.#clock.after(withinMs, resolve);
        this.#wake = (): void => {
          cancel?.();
          resolve();
        };
      });
    }
    const hasChanged = this.#hasChanged;
    this.#hasChanged = false;
    return hasChanged;
  }

  end(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }
}

/** What happens beside the answer: messages from other functions, and the turn's id. */
class Notices {
  /** Every message so far, as parts. */
  readonly all: Notice[] = [];
  /**
   * The id of the answer's message, once the server has accepted the query; undefined if the turn ended without one. It
   * differs from the question's, because the AI SDK replaces a message that has the same id.
   */
  readonly messageId: Promise<string | undefined>;
  readonly #unsubscribe: (() => void)[] = [];
  #taken = 0;

  constructor(turn: Turn, client: AgentClient) {
    this.#unsubscribe.push(client.on("notification", ({ id, content, code, data, source }) => {
      // Notices about the connection have no id.
      if (id === undefined) return;
      this.all.push({ type: "data-notification", id, data: { content, code, data, source } });
    }));
    this.messageId = new Promise((resolve) => {
      const look = (): void => {
        if (turn.turnId !== undefined) resolve(`answer-${turn.turnId}`);
      };
      look();
      this.#unsubscribe.push(client.on("turn", (changed) => changed === turn && look()));
      const end = (): void => {
        look();
        resolve(undefined);
      };
      turn.final.then(end, end);
    });
  }

  takeNew(): Notice[] {
    const fresh = this.all.slice(this.#taken);
    this.#taken = this.all.length;
    return fresh;
  }

  end(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
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

/** Finish reasons that the AI SDK names differently. */
function toFinishReason(reason: string): Exclude<FinishReason, undefined> {
  if (reason === "content_filter") return "content-filter";
  return reason === "stop" || reason === "length" ? reason : "other";
}

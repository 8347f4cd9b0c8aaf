/** The turns of a conversation as its connection tells of them: those without an end, and the end of the newest. */

import type { MemoryAccount } from "../guard/memory_budget.ts";
import { textBytes } from "../guard/memory_budget.ts";
import type {
  DeltaFrame,
  NotificationFrame,
  ReasoningFrame,
  ShortFrame,
  StatusFrame,
  ToolFrame,
} from "../protocol/server_frames.ts";
import type { Clock } from "../ports/runtime.ts";
import type { Thread } from "../session/core/thread.ts";
import { Answer, type EndFrame, textOf } from "./answer.ts";
import type { ChatInfo, ChunkStream, GivenCalls, Notice } from "./chunk_stream.ts";
import type { Listeners } from "./listeners.ts";
import { ToolSteps } from "./tool_steps.ts";

/** Notices that wait for the next answer. */
const MAX_NOTICES = 20;

/** A piece of the text or the reasoning. In its short form the number of its turn stands for the ids. */
export type Piece = DeltaFrame | ReasoningFrame | ShortFrame;

export interface AnswersOptions {
  clock: Clock;
  info: ChatInfo;
  listeners: Listeners;
  /** Of the connection. */
  memory: MemoryAccount;
  /** The steps of an open turn. Those of a long turn are older than what is replayed. */
  threadOf(turnId: string): Thread | undefined;
  /** The requests for an answer have ended, because it waits. */
  onPaused(answer: Answer): void;
}

/** The end of a turn, and the requests that it was sent to. */
interface LastEnd {
  frame: EndFrame;
  sentTo: Set<string>;
  tools: ToolSteps;
}

export class Answers {
  readonly #options: AnswersOptions;
  readonly #texts: MemoryAccount;
  readonly #kept: MemoryAccount;
  /** By query id, oldest first. */
  readonly #open = new Map<string, Answer>();
  readonly #byRef = new Map<number, Answer>();
  /** Of the newest turn. */
  #lastEnd: LastEnd | undefined;
  #notices: Notice[] = [];

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#texts = options.memory.part();
    this.#kept = options.memory.part();
  }

  /** The turn without an end that became known last. */
  get newest(): Answer | undefined {
    return [...this.#open.values()].at(-1);
  }

  isOpen(answer: Answer): boolean {
    return this.#open.get(answer.queryId) === answer;
  }

  /** A turn that has no end yet. */
  open(queryId: string, turnId: string): Answer {
    const known = this.#open.get(queryId);
    if (known?.turnId === turnId) return known;
    known?.drop();
    const answer = this.#make(queryId, turnId);
    this.#open.set(queryId, answer);
    this.#keepEnd(undefined);
    return answer;
  }

  /** All turns without an end, oldest first. */
  order(turns: readonly { queryId: string; turnId: string }[]): void {
    for (const { queryId, turnId } of turns) {
      const answer = this.open(queryId, turnId);
      this.#open.delete(queryId);
      this.#open.set(queryId, answer);
    }
  }

  /** The open turn with this id. */
  ofTurn(turnId: string): Answer | undefined {
    return [...this.#open.values()].find((answer) => answer.turnId === turnId);
  }

  /** What happens to a tool call. */
  takeTool(frame: ToolFrame): void {
    this.open(frame.in_reply_to, frame.turn_id).takeTool(frame);
  }

  /** Shows a request the answer, and what waited for an answer. */
  listen(answer: Answer, stream: ChunkStream, given?: GivenCalls): void {
    answer.listen(stream, given);
    for (const notice of this.#notices.splice(0)) answer.takeNotice(notice);
  }

  take(piece: Piece): void {
    const answer = this.#answerOf(piece);
    if (piece.type === "delta") answer?.takeText(piece.offset, piece.content);
    else answer?.takeReasoning(piece.offset, piece.content);
  }

  /** Ends a turn. `sentTo`: the requests that listen to it. */
  end(frame: EndFrame, sentTo: Set<string>): void {
    const answer = this.#open.get(frame.in_reply_to ?? "");
    if (answer !== undefined) {
      this.#open.delete(answer.queryId);
      for (const [ref, one] of this.#byRef) if (one === answer) this.#byRef.delete(ref);
      answer.end(frame);
    }
    const tools = answer?.tools ?? new ToolSteps();
    this.#keepEnd(frame.type === "status" ? undefined : { frame, sentTo, tools });
  }

  /**
   * Sends a request the answer that ended last, if that was after `since` (milliseconds since the epoch) and it was not sent to this page.
   * Returns whether it was.
   */
  repeatLast(requestId: string, stream: ChunkStream, since: number): boolean {
    const last = this.#lastEnd;
    const { in_reply_to: queryId, turn_id: turnId, timestamp } = last?.frame ?? {};
    if (last === undefined || last.sentTo.size > 0 || queryId === undefined || turnId === undefined) {
      return false;
    }
    if (timestamp === undefined || Date.parse(timestamp) < since) return false;
    last.sentTo.add(requestId);
    stream.found();
    this.#repeat(last, { queryId, turnId }, stream);
    return true;
  }

  /** Sends a request the rest of the answer that ended last, if that is the one of this turn. Returns whether it is. */
  finishLast(turnId: string, stream: ChunkStream, given: GivenCalls): boolean {
    const last = this.#lastEnd;
    const { in_reply_to: queryId, turn_id } = last?.frame ?? {};
    if (last === undefined || queryId === undefined || turn_id !== turnId) return false;
    this.#repeat(last, { queryId, turnId }, stream, given);
    return true;
  }

  /** The page has not read the answer to this request. */
  unsend(requestId: string): void {
    this.#lastEnd?.sentTo.delete(requestId);
  }

  /** A message of another function, for the answer that is being written or else the next one. */
  takeNotice({ id = "", content, code, data, source }: NotificationFrame | StatusFrame): void {
    const notice = { id, data: { content, code, data, source } };
    const heard = [...this.#open.values()].find(({ hasListeners }) => hasListeners);
    if (heard !== undefined) return heard.takeNotice(notice);
    this.#notices = [...this.#notices, notice].slice(-MAX_NOTICES);
  }

  drop(): void {
    for (const answer of this.#open.values()) answer.drop();
    this.#open.clear();
    this.#byRef.clear();
  }

  #answerOf(piece: Piece): Answer | undefined {
    if (!("turn_id" in piece)) return this.#byRef.get(piece.ref);
    const answer = this.open(piece.in_reply_to, piece.turn_id);
    if (piece.ref !== undefined) this.#byRef.set(piece.ref, answer);
    return answer;
  }

  #repeat(
    { frame, tools }: LastEnd,
    { queryId, turnId }: { queryId: string; turnId: string },
    stream: ChunkStream,
    given?: GivenCalls,
  ): void {
    // The first steps of a long turn are not replayed: then it is shown without its calls.
    const isWhole = textOf(frame).startsWith(tools.text);
    const answer = this.#make(queryId, turnId, isWhole ? tools : new ToolSteps());
    answer.listen(stream, given);
    answer.end(frame);
  }

  #make(queryId: string, turnId: string, tools?: ToolSteps): Answer {
    const { clock, info, listeners, threadOf, onPaused } = this.#options;
    const known = tools ?? ToolSteps.of(threadOf(turnId) ?? []);
    return new Answer({
      clock,
      queryId,
      turnId,
      info,
      listeners,
      memory: this.#texts,
      tools: known,
      onPaused,
    });
  }

  #keepEnd(end: LastEnd | undefined): void {
    this.#lastEnd = end;
    this.#kept.set(end === undefined ? 0 : textBytes(end.frame.content.length + end.tools.chars));
  }
}

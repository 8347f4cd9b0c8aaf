/** The turns of a conversation as its connection tells of them: those without an end, and the end of the newest. */

import type { MemoryAccount } from "../guard/memory_budget.ts";
import { textBytes } from "../guard/memory_budget.ts";
import type {
  DeltaFrame,
  NotificationFrame,
  ReasoningFrame,
  ShortFrame,
  StatusFrame,
} from "../protocol/server_frames.ts";
import { Answer, type EndFrame } from "./answer.ts";
import type { ChatInfo, ChunkStream, Notice } from "./chunk_stream.ts";
import type { Listeners } from "./listeners.ts";

/** Notices that wait for the next answer. */
const MAX_NOTICES = 20;

/** A piece of the text or the reasoning. In its short form the number of its turn stands for the ids. */
export type Piece = DeltaFrame | ReasoningFrame | ShortFrame;

export interface AnswersOptions {
  info: ChatInfo;
  listeners: Listeners;
  /** Of the connection. */
  memory: MemoryAccount;
}

export class Answers {
  readonly #options: AnswersOptions;
  readonly #texts: MemoryAccount;
  readonly #kept: MemoryAccount;
  /** By query id, oldest first. */
  readonly #open = new Map<string, Answer>();
  readonly #byRef = new Map<number, Answer>();
  /** The end of the newest turn, and the requests that it was sent to. */
  #lastEnd: { frame: EndFrame; sentTo: Set<string> } | undefined;
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

  /** Shows a request the answer, and what waited for an answer. */
  listen(answer: Answer, stream: ChunkStream): void {
    answer.listen(stream);
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
    this.#keepEnd(frame.type === "status" ? undefined : { frame, sentTo });
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
    const answer = this.#make(queryId, turnId);
    answer.listen(stream);
    answer.end(last.frame);
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

  #make(queryId: string, turnId: string): Answer {
    const { info, listeners } = this.#options;
    return new Answer({ queryId, turnId, info, listeners, memory: this.#texts });
  }

  #keepEnd(end: { frame: EndFrame; sentTo: Set<string> } | undefined): void {
    this.#lastEnd = end;
    this.#kept.set(end === undefined ? 0 : textBytes(end.frame.content.length));
  }
}

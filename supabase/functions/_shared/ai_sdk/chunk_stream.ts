/** The answer to one request of the AI SDK: its frames, with chunks numbered from 0. */

import type { ResponseFrame } from "../protocol/server_frames.ts";
import { type Chunk, chunksOf, type Given, paragraph, type StepSoFar } from "./tool_steps.ts";

/** A message of another function that came while the answer was written. */
export interface Notice {
  id: string;
  data: Readonly<Record<string, unknown>>;
}

/** What is known of an answer so far. */
export interface AnswerSoFar {
  readonly turnId: string;
  /** Of all steps. */
  readonly text: string;
  /** Since the last step. */
  readonly reasoning: string;
  readonly steps: readonly StepSoFar[];
  readonly notices: readonly Notice[];
}

/** What a page has been given of tool calls, by their ids. */
export type GivenCalls = ReadonlyMap<string, Given>;

/** A conversation as the page is told of it, in the `metadata` of its answers. */
export interface ChatInfo {
  sessionId: string;
  /** Of an anonymous conversation whose page has not sent a token. */
  resumeToken: string | undefined;
}

type PartType = "text" | "reasoning";

const NONE: GivenCalls = new Map();

export class ChunkStream {
  readonly #send: (text: string) => void;
  /** The request id as a JSON string. */
  readonly #requestId: string;
  #sequence = 0;
  #isBegun = false;
  #open: PartType | undefined;
  /** Tools were called: what follows is another step. */
  #isStepOver = false;
  #parts = 0;
  /** What stands before and behind the number of a chunk of the open part. */
  readonly #chunkStart: string;
  #pieceStart = "";

  constructor(requestId: string, send: (text: string) => void) {
    this.#send = send;
    this.#requestId = JSON.stringify(requestId);
    this.#chunkStart = `{"type":"chunk","requestId":${this.#requestId},"sequence":`;
  }

  /** Answers a `resume`: there is something. */
  found(): void {
    this.#frame("start");
  }

  /** Answers a `resume`: there is nothing. */
  nothing(): void {
    this.#frame("no-active");
  }

  /** The answer so far, from its beginning or from where the page has it; `start` only with the first of it. */
  show(answer: AnswerSoFar, info: ChatInfo, given: GivenCalls = NONE): void {
    const { turnId, text, reasoning, steps, notices } = answer;
    if (text === "" && reasoning === "" && steps.length === 0 && notices.length === 0) return;
    this.begin(turnId, info);
    for (const notice of notices) this.notice(notice);
    for (const { text, calls } of steps) {
      const isKnown = calls.some(({ callId }) => given.has(callId));
      this.#isStepOver ||= isKnown;
      if (!isKnown) this.#whole("text", paragraph(text));
      for (const [place, call] of calls.entries()) {
        this.tool(chunksOf(call, given.get(call.callId)), !isKnown && place === 0);
      }
    }
    this.#showLast(answer);
  }

  /** Begins the message, unless it has begun. Its id is the same in every replay, and never that of the question. */
  begin(turnId: string, { sessionId, resumeToken }: ChatInfo): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    // Transient: an app that stores its messages does not store the token.
    if (resumeToken !== undefined) {
      this.#chunk({ type: "data-session", transient: true, data: { sessionId, resumeToken } });
    }
    this.#chunk({ type: "start", messageId: `answer-${turnId}`, messageMetadata: { turnId, sessionId } });
  }

  /** What follows in the text or the reasoning. */
  piece(type: PartType, content: string): void {
    if (this.#open !== type) this.#openPart(type);
    this.#send(`${this.#chunkStart}${this.#sequence++}${this.#pieceStart}${JSON.stringify(content)}}}`);
  }

  /** The reasoning begins again, in a new part: that of another worker. */
  rethink(content: string): void {
    this.#closePart();
    this.piece("reasoning", content);
  }

  /** It interrupts no part: the text goes on in the one that is open. */
  notice({ id, data }: Notice): void {
    this.#chunk({ type: "data-notification", id, data });
  }

  /** The step has begun anew: what was shown of it is void. */
  restart(answer: AnswerSoFar): void {
    this.#open = undefined;
    if (!this.#isStepOver) {
      this.#chunk({ type: "reset-step" });
      for (const notice of answer.notices) this.notice(notice);
    }
    this.#showLast(answer);
  }

  /** What is new of a tool call. `isNewStep`: it is the first of its step. */
  tool(chunks: readonly Chunk[], isNewStep: boolean): void {
    if (isNewStep && this.#isStepOver) this.#startStep();
    this.#closePart();
    for (const chunk of chunks) {
      this.#isStepOver ||= chunk.type === "tool-input-available";
      this.#chunk(chunk);
    }
  }

  /** Nothing follows before somebody decides about a call, or answers it: the page must be able to send that. */
  pause(turnId: string, { sessionId }: ChatInfo): void {
    this.#closePart();
    this.#chunk({ type: "finish", finishReason: "tool-calls", messageMetadata: { turnId, sessionId } });
    this.#frame("end");
  }

  finish({ finish_reason, model, usage }: ResponseFrame, turnId: string, { sessionId }: ChatInfo): void {
    this.#closePart();
    this.#chunk({
      type: "finish",
      finishReason: toFinishReason(finish_reason),
      messageMetadata: { turnId, model, usage, finishReason: finish_reason, sessionId },
    });
    this.#frame("end");
  }

  /** The turn was stopped. */
  abort(reason: string | undefined): void {
    this.#closePart();
    this.#chunk({ type: "abort", ...(reason !== undefined && { reason }) });
    this.#frame("end");
  }

  /** Fails the request. The SDK has no field for a code: it precedes the words. */
  fail(code: string, words: string): void {
    this.#closePart();
    const errorText = JSON.stringify(`${code}: ${words}`);
    this.#send(`{"type":"error","requestId":${this.#requestId},"errorText":${errorText}}`);
  }

  /** What there is of the step that is written. */
  #showLast({ text, reasoning, steps }: AnswerSoFar): void {
    const before = steps.map((step) => step.text).join("").length;
    const rest = text.slice(before);
    this.#whole("reasoning", reasoning);
    this.#whole("text", before > 0 ? paragraph(rest) : rest);
  }

  #whole(type: PartType, content: string): void {
    if (content !== "") this.piece(type, content);
  }

  #startStep(): void {
    this.#isStepOver = false;
    this.#closePart();
    this.#chunk({ type: "start-step" });
  }

  #openPart(type: PartType): void {
    this.#closePart();
    if (this.#isStepOver) this.#startStep();
    this.#open = type;
    const id = `${type}-${++this.#parts}`;
    this.#chunk({ type: `${type}-start`, id });
    this.#pieceStart = `,"chunk":{"type":"${type}-delta","id":"${id}","delta":`;
  }

  #closePart(): void {
    if (this.#open === undefined) return;
    this.#chunk({ type: `${this.#open}-end`, id: `${this.#open}-${this.#parts}` });
    this.#open = undefined;
  }

  #chunk(chunk: Readonly<Record<string, unknown>>): void {
    this.#send(`${this.#chunkStart}${this.#sequence++},"chunk":${JSON.stringify(chunk)}}`);
  }

  #frame(type: "start" | "end" | "no-active"): void {
    this.#send(`{"type":"${type}","requestId":${this.#requestId}}`);
  }
}

/** The AI SDK's names. The provider's own is in the metadata. */
function toFinishReason(reason: string): string {
  if (reason === "content_filter") return "content-filter";
  if (reason === "tool_calls") return "tool-calls";
  return reason === "stop" || reason === "length" ? reason : "other";
}

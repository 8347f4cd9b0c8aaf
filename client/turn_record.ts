/** One query with its answer, as the client works on it. */

import type { SentQuery } from "./cursor.ts";
import { deferred } from "./deferred.ts";
import { AgentClientError, toError } from "./error.ts";
import type { ServerFrame, StatusFrame } from "./frames.ts";
import type { Answer, Piece, Turn, TurnState } from "./turn.ts";

/** A frame about a turn. */
export type TurnFrame = Exclude<ServerFrame, { type: "notification" | "heartbeat" }>;

/** Receives the events of a turn. */
export interface TurnWatcher {
  /** The turn has changed. */
  onChange(turn: TurnRecord): void;
  onCancel(turn: TurnRecord): void;
}

/** A turn from the inside: the client writes, callers read. */
export class TurnRecord implements Turn {
  id: string;
  /** The id under which the session first had the query. */
  firstId: string;
  turnId: string | undefined;
  question: string | undefined;
  position: number | undefined;
  /** For this client's turns: the query as it is sent. */
  frame: SentQuery | undefined;
  /** The `seq` of the turn's first event in the log. */
  place = Infinity;
  /** The server has the query in its log. */
  isTaken = false;
  /** The connection that it was last sent on; 0 for none. */
  sentOn = 0;
  sends = 0;
  /** The query comes from the storage, so an earlier page may have sent it. */
  isRestored = false;
  /** How often the query was sent again after an interruption. */
  repeats = 0;
  /** How it ended; undefined if it has not, or has failed. */
  answer: Answer | undefined;
  /** A stop was requested, and the server may not know yet. */
  isCancelled = false;
  isSuperseded = false;
  readonly #watcher: TurnWatcher;
  readonly #end = deferred<Answer>();
  readonly final: Promise<Answer> = this.#end.promise;
  #state: TurnState = "waiting";
  #text = "";
  #reasoning = "";
  #error: AgentClientError | undefined;
  #waiters: (() => void)[] = [];

  constructor(id: string, frame: SentQuery | undefined, watcher: TurnWatcher) {
    this.id = this.firstId = id;
    this.frame = frame;
    this.question = frame?.content;
    this.#watcher = watcher;
  }

  get isMine(): boolean {
    return this.frame !== undefined;
  }

  get state(): TurnState {
    return this.#state;
  }

  get text(): string {
    return this.#text;
  }

  get reasoning(): string {
    return this.#reasoning;
  }

  get error(): AgentClientError | undefined {
    return this.#error;
  }

  get isSettled(): boolean {
    return !["waiting", "queued", "running"].includes(this.#state);
  }

  cancel(): void {
    if (this.isSettled || this.isCancelled) return;
    this.isCancelled = true;
    this.#watcher.onCancel(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    let isFirst = true;
    for await (const { type, offset, text } of this.pieces()) {
      if (type !== "text") continue;
      if (offset === 0 && !isFirst) {
        throw new AgentClientError(
          "text_restarted",
          "Cannot continue: the answer was restarted with other text",
        );
      }
      isFirst = false;
      yield text;
    }
  }

  async *pieces(): AsyncGenerator<Piece, void, undefined> {
    let [seen, given, thought] = ["", "", ""];
    for (;;) {
      const [text, reasoning] = [this.#text, this.#reasoning];
      if (reasoning !== thought) {
        const offset = reasoning.startsWith(thought) ? thought.length : 0;
        thought = reasoning;
        if (reasoning !== "") yield { type: "reasoning", offset, text: reasoning.slice(offset) };
      } else if (text !== seen || (this.#state === "completed" && text !== given)) {
        seen = text;
        // Text that is shorter, but still a prefix of what was yielded, may grow past it. After the end it cannot.
        if (text === given || (this.#state !== "completed" && given.startsWith(text))) continue;
        const offset = text.startsWith(given) ? given.length : 0;
        given = text;
        yield { type: "text", offset, text: text.slice(offset) };
      } else if (this.#isAtEnd()) return;
      else await this.#changed();
    }
  }

  async *snapshots(): AsyncGenerator<string, void, undefined> {
    let given = "";
    for (;;) {
      if (this.#text !== given) yield given = this.#text;
      else if (this.#isAtEnd()) return;
      else await this.#changed();
    }
  }

  /** Applies a frame of the server. */
  take(frame: TurnFrame): void {
    if (this.isSettled) return;
    const { content } = frame;
    switch (frame.type) {
      case "query":
        this.question = content;
        if (this.#state === "waiting") this.#become("queued");
        break;
      case "delta":
        // A delta that begins after the known text would leave a hole. The response will bring the complete text.
        if (frame.offset > this.#text.length) return;
        this.#text = this.#text.slice(0, frame.offset) + content;
        this.#become("running");
        break;
      case "reasoning":
        if (frame.offset > this.#reasoning.length) return;
        this.#reasoning = this.#reasoning.slice(0, frame.offset) + content;
        this.#become("running");
        break;
      case "status":
        this.#takeStatus(frame);
        break;
      case "response": {
        const { finish_reason: finishReason, model, usage, continued, data: { trimmed } = {} } = frame;
        this.finish({
          text: content,
          outcome: "completed",
          finishReason,
          model,
          ...(usage && { usage }),
          ...(continued && { continued }),
          ...(trimmed !== undefined && { trimmed }),
        });
        break;
      }
      case "error":
        this.fail(toError(frame));
    }
  }

  /** The query is asked again, under this id. The answer so far is discarded. */
  restart(id = this.id): void {
    if (id === this.id) this.firstId = id;
    else this.replaceNothing();
    this.id = id;
    this.turnId = undefined;
    this.frame = this.frame && { ...this.frame, id };
    this.isTaken = false;
    this.sentOn = 0;
    this.place = Infinity;
    this.#text = this.#reasoning = "";
    this.#become("waiting");
  }

  /** What the query was to replace is replaced already, or gone. */
  replaceNothing(): void {
    if (this.frame === undefined) return;
    const { replaces: _, ...frame } = this.frame;
    this.frame = frame;
  }

  /** A later query has replaced this one or an earlier one. */
  supersede(): void {
    this.isSuperseded = true;
    if (this.isSettled) this.#watcher.onChange(this);
    else this.finish({ text: this.#text, outcome: "cancelled", finishReason: "superseded" });
  }

  finish(answer: Omit<Answer, "turnId">): void {
    if (this.isSettled) return;
    const { turnId } = this;
    this.#text = answer.text;
    this.answer = turnId === undefined ? answer : { ...answer, turnId };
    this.#end.resolve(this.answer);
    this.#become(answer.outcome);
  }

  fail(error: AgentClientError): void {
    if (this.isSettled) return;
    this.#text = error.partial || this.#text;
    this.#error = error;
    this.#end.reject(error);
    this.#become("failed");
  }

  #takeStatus({ code, seq, data, partial = "", reason = "cancelled", usage }: StatusFrame): void {
    if (code === "thinking") this.#become("running");
    else if (code === "queued") this.#become("queued", Number(data?.position));
    else if (seq !== undefined) {
      this.finish({ text: partial, outcome: "cancelled", finishReason: reason, ...(usage && { usage }) });
    }
  }

  /** Whether nothing more comes. Throws if the turn has failed. */
  #isAtEnd(): boolean {
    if (this.#error !== undefined) throw this.#error;
    return this.isSettled;
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => void this.#waiters.push(resolve));
  }

  #become(state: TurnState, position?: number): void {
    this.#state = state;
    this.position = position;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const go of waiters) go();
    this.#watcher.onChange(this);
  }
}

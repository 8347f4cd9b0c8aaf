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
  /** How often the query was sent again after an interruption. */
  repeats = 0;
  /** How it ended; undefined if it has not, or has failed. */
  answer: Answer | undefined;
  /** A stop was requested, and the server may not know yet. */
  isCancelled = false;
  readonly #watcher: TurnWatcher;
  readonly #end = deferred<Answer>();
  readonly final: Promise<Answer> = this.#end.promise;
  #state: TurnState = "waiting";
  #text = "";
  #reasoning = "";
  #error: AgentClientError | undefined;
  #waiters: (() => void)[] = [];

  constructor(id: string, frame: SentQuery | undefined, watcher: TurnWatcher) {
    this.id = id;
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
    for await (const { type, text } of this.pieces()) if (type === "text") yield text;
  }

  async *pieces(): AsyncGenerator<Piece, void, undefined> {
    let [seen, given, thought] = ["", "", ""];
    for (;;) {
      const [text, reasoning] = [this.#text, this.#reasoning];
      if (reasoning !== thought) {
        const offset = reasoning.startsWith(thought) ? thought.length : 0;
        thought = reasoning;
        if (reasoning !== "") yield { type: "reasoning", offset, text: reasoning.slice(offset) };
      } else if (text !== seen) {
        seen = text;
        if (text.startsWith(given)) {
          const offset = given.length;
          given = text;
          if (text.length > offset) yield { type: "text", offset, text: text.slice(offset) };
          // The text is shorter, but still a prefix of what was yielded: it may grow past it. After the end it cannot.
        } else if (
          !given.startsWith(text) || (this.#state === "completed" && !this.#text.startsWith(given))
        ) {
          throw new AgentClientError("text_restarted", "Cannot go on: the answer was begun anew");
        }
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
    this.id = id;
    this.frame = this.frame && { ...this.frame, id };
    this.isTaken = false;
    this.sentOn = 0;
    this.place = Infinity;
    this.#text = this.#reasoning = "";
    this.#become("waiting");
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

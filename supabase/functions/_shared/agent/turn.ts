/** One turn: a query, the model's reply to it, and the one terminal event it ends with. */

import { type AgentError, toAgentError } from "../errors.ts";
import type { LanguageModel, ModelReply, ModelRequest } from "../ports.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";
import type { Priority } from "../protocol/queueing.ts";
import type { CancelledEvent, QueryEvent, TerminalEvent } from "../protocol/log_event.ts";
import { hasEnded, stepTurn, type TurnState } from "./turn_machine.ts";

/** A query that was accepted, before its event has a `seq`. */
export interface Query {
  queryId: string;
  turnId: string;
  content: string;
  priority: Priority;
  /** Whether it goes before all that wait. */
  first: boolean;
  options: QueryOptions;
  connectionId: string;
  /** Whether the asking connection wants deltas of this turn; undefined leaves it to the connection. */
  stream: boolean | undefined;
  feedback: readonly string[];
  /** The keys of the budgets that its tokens count against. */
  payers: readonly string[];
}

/** Why a turn is stopped from outside. */
export type StopReason =
  | { signal: "cancel"; reason: CancelledEvent["reason"] }
  | { signal: "interrupt"; error: AgentError };

export class Turn {
  readonly query: Query;
  /** Whether another worker has begun it. */
  readonly isTakenOver: boolean;
  #state: TurnState = "queued";
  #text = "";
  /** Made when the turn starts: a turn that waits costs next to nothing. */
  #abort: AbortController | undefined;
  #stopped: StopReason | undefined;

  /** `begun` is what there is of the answer, where another worker has begun it. */
  constructor(query: Query, begun?: { text: string }) {
    this.query = query;
    this.#text = begun?.text ?? "";
    this.isTakenOver = begun !== undefined;
  }

  get state(): TurnState {
    return this.#state;
  }

  /** The answer so far. */
  get text(): string {
    return this.#text;
  }

  /**
   * Asks the model and answers with the terminal event; never rejects. `onText` gets each piece of text after it was
   * added to {@linkcode text}. May be called once.
   */
  async run(
    model: LanguageModel,
    request: ModelRequest,
    onText: (text: string) => void,
  ): Promise<TerminalEvent> {
    this.#state = stepTurn(this.#state, "start");
    const abort = this.#abort = new AbortController();
    // A model that is slow to notice the signal must not keep a cancelled turn alive.
    const aborted = new Promise<never>((_, reject) => {
      abort.signal.addEventListener("abort", () => reject(abort.signal.reason), { once: true });
    });
    const options = {
      signal: abort.signal,
      onText: (text: string): void => {
        if (hasEnded(this.#state)) return;
        this.#text += text;
        onText(text);
      },
    };
    try {
      const reply = await Promise.race([model.reply(request, options), aborted]);
      return this.#stopped === undefined ? this.#complete(reply) : this.#endStopped(this.#stopped);
    } catch (thrown) {
      return this.#stopped === undefined ? this.#fail(toAgentError(thrown)) : this.#endStopped(this.#stopped);
    }
  }

  /**
   * Stops the turn. A running one ends through {@linkcode run}, and the answer is undefined; for one that waits the
   * terminal event is the answer. Stopping an ended turn does nothing.
   */
  stop(why: StopReason): TerminalEvent | undefined {
    if (hasEnded(this.#state) || this.#stopped !== undefined) return undefined;
    this.#stopped = why;
    if (this.#abort === undefined) return this.#endStopped(why);
    this.#abort.abort();
    return undefined;
  }

  /** The durable form of the question. */
  toEvent(): QueryEvent {
    const { queryId, turnId, content, options, priority, first, connectionId, feedback } = this.query;
    return { kind: "query", queryId, turnId, content, options, priority, first, connectionId, feedback };
  }

  #complete(reply: ModelReply): TerminalEvent {
    this.#state = stepTurn(this.#state, "complete");
    const { finishReason, model, usage } = reply;
    const event: TerminalEvent = {
      kind: "response",
      ...this.#ids(),
      content: this.#text,
      finishReason,
      model,
    };
    return usage === undefined ? event : { ...event, usage };
  }

  #endStopped(why: StopReason): TerminalEvent {
    this.#state = stepTurn(this.#state, why.signal);
    if (why.signal === "interrupt") return this.#error(why.error);
    return { kind: "cancelled", ...this.#ids(), reason: why.reason, partial: this.#text };
  }

  #fail(error: AgentError): TerminalEvent {
    this.#state = stepTurn(this.#state, "fail");
    return this.#error(error);
  }

  #error({ code, message, retryable, retryAfterMs }: AgentError): TerminalEvent {
    const event: TerminalEvent = {
      kind: "error",
      ...this.#ids(),
      code,
      content: `Failed to generate response: ${message}`,
      retryable,
      partial: this.#text,
    };
    return retryAfterMs === undefined ? event : { ...event, retryAfterMs };
  }

  #ids(): { queryId: string; turnId: string } {
    return { queryId: this.query.queryId, turnId: this.query.turnId };
  }
}

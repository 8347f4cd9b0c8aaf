/**
 * Runs the turns of one session, one at a time: queue → turn → log.
 *
 * The model is asked before anything is announced or committed; every turn that was taken ends with one terminal event.
 */

import type { ActivityReporter } from "../activity/reporter.ts";
import type { StopReason, Turn } from "../agent/turn.ts";
import { TurnQueue } from "../agent/turn_queue.ts";
import { hasEnded } from "../agent/turn_machine.ts";
import { AgentError, toAgentError } from "../errors.ts";
import type { TokenBudget } from "../guard/token_budget.ts";
import type { Metrics } from "../metrics.ts";
import type { Clock, LanguageModel, Log, ModelRequest, SessionRecord, WorkerLifetime } from "../ports.ts";
import { deltaEncoder } from "../protocol/delta_encoder.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import { renderError, renderThinking } from "../protocol/render.ts";
import type { Connection } from "./connection.ts";
import type { Feed } from "./feed.ts";
import type { DeltaSource } from "./outbox.ts";

export interface RunnerDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  model: LanguageModel;
  budget: TokenBudget;
  lifetime: WorkerLifetime;
  activity: ActivityReporter;
}

export interface RunnerOptions extends RunnerDeps {
  record: SessionRecord;
  feed: Feed;
  /** What to ask the model, at the moment when the turn starts. */
  requestFor(turn: Turn): ModelRequest;
  /** Whether the question has its place in the log: only then may its start be told apart from it. */
  isCommitted(turn: Turn): boolean;
}

interface Running {
  turn: Turn;
  deltas: DeltaSource;
  /** Settles when the terminal event is out. */
  done: Promise<void>;
}

export class Runner {
  readonly queue = new TurnQueue();
  readonly #options: RunnerOptions;
  #running: Running | undefined;
  /** Set when the session is no more: what still ends then leaves no trace. */
  #isAbandoned = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  get running(): Turn | undefined {
    return this.#running?.turn;
  }

  /** Starts the turn whose turn it is, unless one runs. */
  startNext(): void {
    if (this.#running !== undefined) return;
    const turn = this.queue.next();
    if (turn === undefined) return;
    const { clock, lifetime } = this.#options;
    const encode = deltaEncoder(turn.query.turnId, turn.query.queryId);
    const deltas: DeltaSource = {
      get text() {
        return turn.text;
      },
      encode: (offset, content) => encode(offset, content, clock.now()),
    };
    const running: Running = { turn, deltas, done: Promise.resolve() };
    this.#running = running;
    running.done = this.#run(running);
    lifetime.hold(running.done);
  }

  /** Stops one turn, running or waiting, by the id of its query. Answers whether there was one. */
  stop(queryId: string, why: StopReason): boolean {
    const running = this.#running?.turn;
    if (running?.query.queryId === queryId) {
      running.stop(why);
      return true;
    }
    const waiting = this.queue.remove(queryId);
    if (waiting !== undefined) this.#end(waiting, waiting.stop(why));
    return waiting !== undefined;
  }

  /** Stops all that wait and answers with the ids of their queries. */
  stopWaiting(why: StopReason): readonly string[] {
    const turns = this.queue.removeAll();
    for (const turn of turns) this.#end(turn, turn.stop(why));
    return turns.map((turn) => turn.query.queryId);
  }

  /** Sends the running turn's text so far to a connection that has just caught up. */
  announceTo(connection: Connection): void {
    const running = this.#running;
    if (running === undefined || !connection.wantsDeltas || running.turn.text === "") return;
    connection.sendText(running.deltas.encode(0, running.turn.text));
  }

  /**
   * Ends those that wait, and the running one too if it is not done in `timeoutMs` (0: for as long as it takes).
   * Settles when every terminal event is out.
   */
  async drain(timeoutMs: number): Promise<void> {
    const error = new AgentError("interrupted", "the worker was replaced before the answer was done", {
      retryable: true,
    });
    this.stopWaiting({ signal: "interrupt", error });
    const running = this.#running;
    if (running === undefined) return;
    const stop = (): void => void running.turn.stop({ signal: "interrupt", error });
    const cancelTimer = timeoutMs > 0 ? this.#options.clock.after(timeoutMs, stop) : undefined;
    await running.done;
    cancelTimer?.();
  }

  /** Drops everything without a trace. */
  abandon(why: AgentError): void {
    this.#isAbandoned = true;
    this.queue.removeAll();
    this.#running?.turn.stop({ signal: "interrupt", error: why });
  }

  async #run(running: Running): Promise<void> {
    const { turn } = running;
    const { model, feed, clock, requestFor, isCommitted, record, activity } = this.#options;
    const request = requestFor(turn);
    const ending = turn.run(model, request, (text) => {
      this.#sendDelta(running, text);
      activity.streaming(record, turn, request.maxTokens);
    });
    activity.memory(record, { operation: "recall", sector: "history" }, { success: true, durationMs: 0 });
    activity.reasoning(record, turn, "thinking");
    if (isCommitted(turn)) feed.broadcast(renderThinking(turn.query, clock.now()));
    const ended = await ending;
    for (const connection of feed.connections) connection.dropHeldDeltas();
    await this.#end(turn, ended);
    this.#running = undefined;
    this.startNext();
  }

  #sendDelta({ turn, deltas }: Running, text: string): void {
    const offset = turn.text.length - text.length;
    const { connectionId, stream } = turn.query;
    let encoded: string | undefined;
    for (const connection of this.#options.feed.connections) {
      const isWanted = connection.id === connectionId && stream !== undefined
        ? stream
        : connection.wantsDeltas;
      if (isWanted && connection.isLive) {
        connection.sendDelta(deltas, offset, encoded ??= deltas.encode(offset, text));
      }
    }
  }

  /** Puts a terminal event in the log. Never rejects: where the log is out of reach, everyone is told. */
  async #end(turn: Turn, ended: TerminalEvent | undefined): Promise<void> {
    if (ended === undefined || this.#isAbandoned) return;
    const { feed, clock } = this.#options;
    this.#account(turn, ended);
    try {
      await feed.commit([ended]);
    } catch (thrown) {
      const error = toAgentError(thrown);
      this.#write("error", "commit_failed", { turn_id: ended.turnId, error });
      feed.broadcast(renderError(error, clock.now(), ended.queryId));
    }
  }

  #account(turn: Turn, ended: TerminalEvent): void {
    const { metrics, budget, activity, record } = this.#options;
    if (hasEnded(turn.state)) activity.reasoning(record, turn, turn.state);
    const { payers } = turn.query;
    metrics.count("turns_total", turn.state);
    if (ended.kind !== "response") {
      if (ended.partial !== "") budget.spend(payers, estimateTokens(turn));
      const why = ended.kind === "error" ? { code: ended.code } : { reason: ended.reason };
      return this.#write("info", "turn_ended", { turn_id: ended.turnId, outcome: turn.state, ...why });
    }
    const { model, finishReason, usage } = ended;
    budget.spend(payers, usage?.total_tokens ?? estimateTokens(turn));
    if (usage !== undefined) {
      metrics.count("tokens_total", "prompt", usage.prompt_tokens);
      metrics.count("tokens_total", "completion", usage.completion_tokens);
      metrics.count("cost_usd_total", "", usage.cost ?? 0);
    }
    this.#write("info", "turn_ended", {
      turn_id: ended.turnId,
      outcome: turn.state,
      model,
      finish_reason: finishReason,
      ...usage,
    });
  }

  #write(level: "info" | "error", event: string, fields: Record<string, unknown>): void {
    this.#options.log.write({ level, event, session_id: this.#options.record.sessionId, ...fields });
  }
}

/** About four UTF-16 units a token: for a budget, where the provider reports no usage. */
function estimateTokens({ text, query }: Turn): number {
  return Math.ceil((text.length + query.content.length) / 4);
}

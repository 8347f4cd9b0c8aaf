/**
 * One session: what clients may ask of it.
 *
 * A query goes `submit → runner → log → feed`. Durable events reach the clients after their commit, in the order of
 * `seq`; deltas at once. The model never waits for the store.
 */

import { History } from "../agent/history.ts";
import { Turn } from "../agent/turn.ts";
import { AgentError, toAgentError } from "../errors.ts";
import type { EventLog, Ids, ModelRequest, SessionRecord } from "../ports.ts";
import type { FeedbackFrame, QueryFrame, QueryOptions, QueuePolicy } from "../protocol/client_frames.ts";
import type { LogEvent } from "../protocol/log_event.ts";
import {
  renderError,
  renderEvent,
  renderStatus,
  renderThinking,
  type StatusFields,
} from "../protocol/render.ts";
import type { ServerFrame, StatusFrame } from "../protocol/server_frames.ts";
import type { Connection } from "./connection.ts";
import { Feed } from "./feed.ts";
import { type KnownQuery, QueryIndex } from "./query_index.ts";
import { checkOptions } from "./query_options.ts";
import { Runner, type RunnerDeps } from "./runner.ts";

export interface SessionSettings {
  systemPrompt: string;
  models: readonly string[];
  allowedModels: readonly string[];
  temperature: number;
  maxTokens: number;
  maxHistory: number;
  maxEvents: number;
  /** Turns that may wait; 0 for any number. */
  maxQueue: number;
  queuePolicy: QueuePolicy;
}

export interface SessionDeps extends RunnerDeps {
  ids: Ids;
  eventLog: EventLog;
  settings: SessionSettings;
}

export class Session {
  readonly record: SessionRecord;
  readonly feed: Feed;
  readonly #deps: SessionDeps;
  readonly #runner: Runner;
  readonly #history: History;
  readonly #queries = new QueryIndex();
  #lastActivity: number;
  /** Set by `configure`: what a query's own options go before. */
  #defaults: QueryOptions = {};
  /** Why nothing more is taken: the worker is ending, or the session has. */
  #refusal: AgentError | undefined;

  constructor(record: SessionRecord, deps: SessionDeps) {
    this.record = record;
    this.#deps = deps;
    this.#lastActivity = deps.clock.now();
    this.#history = new History(deps.settings.maxHistory);
    this.feed = new Feed({
      record,
      activity: deps.activity,
      eventLog: deps.eventLog,
      onCommitted: (event) => this.#remember(event),
      renderForAsker: (event) => this.#acknowledge(event.queryId, event.at),
      onLive: (connection) => this.#runner.announceTo(connection),
    });
    this.#runner = new Runner({
      ...deps,
      record,
      feed: this.feed,
      requestFor: (turn) => this.#requestFor(turn),
      isCommitted: (turn) => this.#queries.get(turn.query.queryId)?.seq !== undefined,
    });
  }

  get isRunning(): boolean {
    return this.#runner.running !== undefined;
  }

  /** When somebody last did something here: now, while an answer is being written. Milliseconds since the epoch. */
  get lastActivity(): number {
    return this.isRunning ? this.#deps.clock.now() : this.#lastActivity;
  }

  /** Tells that somebody did something here. */
  touch(): void {
    this.#lastActivity = this.#deps.clock.now();
  }

  /** What `command` `status` tells. */
  describe(): Record<string, unknown> {
    const { running, queue } = this.#runner;
    return {
      session_id: this.record.sessionId,
      state: running === undefined ? "idle" : "running",
      running: running === undefined ? null : idsOf(running),
      queued: queue.inOrder().map((turn, index) => ({ ...idsOf(turn), position: index + 1 })),
      connections: this.feed.connections.size,
      last_seq: this.feed.lastSeq,
      history_messages: this.#history.size,
    };
  }

  /**
   * Takes a query: puts it in the queue and the log, and starts it where nothing runs. The same id again is answered
   * as it stands. Throws `option_not_allowed`, `budget_exceeded`, `busy`, `queue_full`, `id_conflict`, `shutting_down`;
   * then nothing was taken.
   */
  submit(connection: Connection, frame: QueryFrame): void {
    const known = frame.id === undefined ? undefined : this.#queries.get(frame.id);
    if (known !== undefined) return this.#repeat(connection, frame, known);
    const policy = frame.policy ?? this.#deps.settings.queuePolicy;
    this.#checkAdmission(connection, frame, policy);
    const { ids } = this.#deps;
    const turn = new Turn({
      queryId: frame.id ?? ids.uuid(),
      turnId: ids.uuid(),
      content: frame.content,
      priority: frame.priority ?? "normal",
      options: frame.options ?? {},
      connectionId: connection.id,
      stream: frame.stream,
      feedback: this.#history.takeNotes(),
      payers: connection.limitKeys,
    });
    this.#queries.accept(turn);
    const { queue, running } = this.#runner;
    if (policy === "interrupt") queue.pushFirst(turn);
    else queue.push(turn);
    this.#commitQuery(connection, turn);
    this.#deps.activity.reasoning(this.record, turn, "queued");
    if (policy === "interrupt") running?.stop({ signal: "cancel", reason: "interrupted" });
    if (policy === "latest") this.#supersedeAllBut(turn);
    this.#runner.startNext();
  }

  /** Stops what the selector names, the running turn by default. Answers with the ids of the queries it stopped. */
  cancel({ id, all }: { id?: string | undefined; all?: boolean | undefined }): readonly string[] {
    const why = { signal: "cancel", reason: "cancelled" } as const;
    const waiting = all === true ? this.#runner.stopWaiting(why) : [];
    const target = id !== undefined && all !== true ? id : this.#runner.running?.query.queryId;
    const isStopped = target !== undefined && this.#runner.stop(target, why);
    return isStopped ? [target, ...waiting] : waiting;
  }

  /** Puts the conversation so far out of the model's sight. */
  async clear(connection: Connection, commandId: string | undefined): Promise<void> {
    const event = { kind: "cleared", connectionId: connection.id } as const;
    await this.feed.commit([commandId === undefined ? event : { ...event, commandId }]);
    this.#deps.activity.session(this.record, "updated");
  }

  /** Sets what queries fall back on, and answers with all that is set. Throws `option_not_allowed`. */
  configure(options: QueryOptions): Record<string, unknown> {
    const { settings } = this.#deps;
    checkOptions(options, settings);
    this.#defaults = { ...this.#defaults, ...options };
    this.#deps.activity.session(this.record, "updated");
    return {
      model: settings.models[0],
      temperature: settings.temperature,
      max_tokens: settings.maxTokens,
      ...this.#defaults,
    };
  }

  /** Records what somebody thinks of a turn, of the last one by default. Throws `unknown_turn`, `unknown_approval`. */
  async takeFeedback(frame: FeedbackFrame): Promise<StatusFields> {
    const { id = this.#deps.ids.uuid(), verdict, rating, content: comment = "" } = frame;
    const turnId = frame.turn_id ?? this.#queries.lastTurnId;
    if (frame.approval_id !== undefined) {
      throw new AgentError(
        "unknown_approval",
        'Cannot record feedback: nothing waits for this "approval_id"',
      );
    }
    if (turnId === undefined || !this.#queries.hasTurn(turnId)) {
      throw new AgentError(
        "unknown_turn",
        'Cannot record feedback: "turn_id" must name a turn of this session',
      );
    }
    const feedback = { id, turnId, comment, ...(verdict && { verdict }), ...(rating && { rating }) };
    const { repeated } = await this.#deps.eventLog.recordFeedback(this.record.sessionId, feedback);
    if (!repeated && verdict === "modify") this.#history.addNote(comment);
    return { turn_id: turnId, in_reply_to: id, data: { repeated } };
  }

  /** Takes no more queries and lets the running turn finish for `timeoutMs`. Settles when nothing runs any more. */
  async drain(why: AgentError, timeoutMs: number): Promise<void> {
    this.#refusal = why;
    await this.#runner.drain(timeoutMs);
  }

  /** Ends everything at once and without a trace: the session was deleted or has expired. */
  abandon(why: AgentError): void {
    this.#refusal = why;
    this.#runner.abandon(why);
  }

  #checkAdmission(connection: Connection, { options = {} }: QueryFrame, policy: QueuePolicy): void {
    const { settings, budget } = this.#deps;
    if (this.#refusal !== undefined) throw this.#refusal;
    checkOptions(options, settings);
    const retryAfterMs = budget.exhausted(connection.limitKeys);
    if (retryAfterMs !== undefined) {
      const words = "Cannot take query: the day's token budget is used up";
      throw new AgentError("budget_exceeded", words, { retryable: true, retryAfterMs });
    }
    if (this.#runner.running === undefined) return;
    if (policy === "reject") {
      throw new AgentError("busy", "Cannot take query: an answer is being written", { retryable: true });
    }
    // `latest` makes its own room.
    if (policy !== "latest" && settings.maxQueue > 0 && this.#runner.queue.size >= settings.maxQueue) {
      const words = `Cannot take query: ${settings.maxQueue} are waiting already`;
      throw new AgentError("queue_full", words, { retryable: true });
    }
  }

  #supersedeAllBut(turn: Turn): void {
    for (const { query } of this.#runner.queue.inOrder()) {
      if (query.queryId !== turn.query.queryId) {
        this.#runner.stop(query.queryId, { signal: "cancel", reason: "superseded" });
      }
    }
  }

  /** Commits the question while the model is being asked; where that fails, the turn ends with the reason. */
  #commitQuery(connection: Connection, turn: Turn): void {
    const { log, clock, lifetime } = this.#deps;
    const { queryId } = turn.query;
    const announce = (): void => {
      if (turn.state === "running") {
        this.feed.broadcast(renderThinking(turn.query, clock.now()), connection.id);
      }
    };
    const giveUp = (thrown: unknown): void => {
      const error = toAgentError(thrown);
      log.write({ level: "error", event: "commit_failed", session_id: this.record.sessionId, error });
      this.#queries.forget(queryId);
      // A running turn tells through its own end.
      if (turn.state === "running") return void this.#runner.stop(queryId, { signal: "interrupt", error });
      this.#runner.queue.remove(queryId);
      connection.send(renderError(error, clock.now(), queryId));
    };
    lifetime.hold(this.feed.commit([turn.toEvent()]).then(announce, giveUp));
  }

  #requestFor({ query }: Turn): ModelRequest {
    const { settings } = this.#deps;
    const { model, temperature = settings.temperature, max_tokens = settings.maxTokens } = {
      ...this.#defaults,
      ...query.options,
    };
    return {
      messages: this.#history.prompt(settings.systemPrompt, query),
      models: model === undefined
        ? settings.models
        : [model, ...settings.models.filter((other) => other !== model)],
      temperature,
      maxTokens: max_tokens,
    };
  }

  #remember(event: LogEvent): void {
    // What others push in is no sign of life.
    if (event.kind !== "notification") this.touch();
    this.#history.apply(event);
    this.#queries.apply(event, event.seq - this.#deps.settings.maxEvents + 1);
  }

  /** Answers a query that was sent before: as it stands, or with its terminal frame again. */
  #repeat(connection: Connection, frame: QueryFrame, known: KnownQuery): void {
    const { content, options = {} } = frame;
    if (content !== known.content || JSON.stringify(options) !== JSON.stringify(known.options)) {
      throw new AgentError("id_conflict", 'Cannot take query: its "id" was used for another one');
    }
    const { clock, lifetime } = this.#deps;
    if (known.terminalSeq === undefined) {
      return connection.send(this.#acknowledge(known.queryId, clock.now()));
    }
    const failed = (thrown: unknown): void =>
      connection.send(renderError(toAgentError(thrown), clock.now(), known.queryId));
    lifetime.hold(this.#replayTerminal(connection, frame, known.terminalSeq).catch(failed));
  }

  async #replayTerminal(connection: Connection, frame: QueryFrame, seq: number): Promise<void> {
    const { events: [event] } = await this.#deps.eventLog.read(this.record.sessionId, {
      afterSeq: seq - 1,
      limit: 1,
    });
    if (event?.seq === seq) return connection.send({ ...renderEvent(event), replay: true } as ServerFrame);
    // The log no longer knows it, so neither do we: it is a new query.
    if (frame.id !== undefined) this.#queries.forget(frame.id);
    this.submit(connection, frame);
  }

  /** The `status` that answers a query: that it waits, or that it is being answered. */
  #acknowledge(queryId: string, at: number): StatusFrame {
    const known = this.#queries.get(queryId);
    const fields: StatusFields = {
      in_reply_to: queryId,
      ...(known && { turn_id: known.turnId }),
      ...(known?.seq && { seq: known.seq }),
    };
    if (known?.turn?.state !== "queued") return renderStatus("thinking", "Thinking...", at, fields);
    const position = this.#runner.queue.position(known.turn);
    return renderStatus("queued", "Queued", at, { ...fields, data: { position } });
  }
}

function idsOf({ query: { queryId, turnId } }: Turn): { id: string; turn_id: string } {
  return { id: queryId, turn_id: turnId };
}

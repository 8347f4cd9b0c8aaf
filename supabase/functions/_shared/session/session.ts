/**
 * One session: what clients may ask of it.
 *
 * A query goes `submit → turns → runner → log → feed`. Durable events reach the clients after their commit, in the
 * order of `seq`; deltas at once. The model never waits for the store.
 */

import { Turn } from "../agent/turn.ts";
import { AgentError, toAgentError } from "../errors.ts";
import { bytesOfQuery, type MemoryBudget, SessionMemory } from "../guard/memory_budget.ts";
import type { Committed, Ids, SessionRecord, StopRequest, StoredSession } from "../ports.ts";
import type { CommandArgs, FeedbackFrame, QueryFrame, QueryOptions } from "../protocol/client_frames.ts";
import type { NotificationEvent } from "../protocol/log_event.ts";
import type { QueuePolicy } from "../protocol/queueing.ts";
import { renderError, renderThinking, type StatusFields } from "../protocol/render.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { cancelTurns } from "./cancelling.ts";
import { Configuring } from "./configuring.ts";
import type { Connection } from "./connection.ts";
import type { Feed } from "./feed.ts";
import { FeedbackTaker } from "./feedback_taker.ts";
import { checkOptions } from "./query_options.ts";
import { mayBeRepeat, Repeats } from "./repeats.ts";
import { Turns } from "./turns.ts";
import type { TurnsDeps, TurnsSettings } from "./turns_options.ts";

export interface SessionSettings extends TurnsSettings {
  allowedModels: readonly string[];
  /** Turns that may wait; 0 for any number. */
  maxQueue: number;
  queuePolicy: QueuePolicy;
}

export interface SessionDeps extends TurnsDeps {
  ids: Ids;
  memory: MemoryBudget;
  settings: SessionSettings;
}

export interface SessionOptions {
  /** Shared by all sessions. */
  deps: SessionDeps;
  /** Whether its log is in this worker's memory. */
  isLogHere: boolean;
  /** Called when the store says that the session is no more. */
  onGone(): void;
}

export class Session {
  readonly record: SessionRecord;
  readonly #deps: SessionDeps;
  readonly #turns: Turns;
  readonly #memory: SessionMemory;
  #lastActivity: number;
  /** Until when the store knows of it: each event tells. */
  #keptActivity: number;
  /** Why nothing more is taken: the worker is ending, or the session has. */
  #refusal: AgentError | undefined;
  /** Made with the first `configure`, and with the first feedback. */
  #configuring: Configuring | undefined;
  #feedback: FeedbackTaker | undefined;

  constructor(stored: StoredSession, { deps, isLogHere, onGone }: SessionOptions) {
    this.record = stored.record;
    this.#deps = deps;
    this.#memory = new SessionMemory(deps.memory, { isLogHere });
    this.#lastActivity = this.#keptActivity = deps.clock.now();
    this.#turns = new Turns(stored, {
      deps,
      memory: this.#memory,
      onGone,
      // What others push in is no sign of life.
      onEvent: ({ kind }) => {
        if (kind === "notification") return;
        this.touch();
        this.#keptActivity = this.#lastActivity;
      },
    });
  }

  get feed(): Feed {
    return this.#turns.feed;
  }

  get isRunning(): boolean {
    return this.#turns.runner.running !== undefined;
  }

  /** When somebody last did something here: now, while an answer is being written. Milliseconds since the epoch. */
  get lastActivity(): number {
    return this.isRunning ? this.#deps.clock.now() : this.#lastActivity;
  }

  /** Tells that somebody did something here. */
  touch(): void {
    this.#lastActivity = this.#deps.clock.now();
  }

  /** Tells the store that the session is in use, where nothing in the log has since. Never rejects. */
  async keepAlive(): Promise<void> {
    const told = this.#keptActivity;
    if (this.#lastActivity <= told) return;
    this.#keptActivity = this.#lastActivity;
    await this.feed.commit({}).catch((thrown) => {
      this.#keptActivity = told;
      const error = toAgentError(thrown);
      this.#deps.log.write({
        level: "warn",
        event: "keep_alive_failed",
        session_id: this.record.sessionId,
        error,
      });
    });
  }

  get #repeats(): Repeats {
    const { clock, lifetime, eventLog } = this.#deps;
    return new Repeats({ clock, lifetime, eventLog, sessionId: this.record.sessionId, turns: this.#turns });
  }

  /** What `command` `status` tells. */
  describe(): Record<string, unknown> {
    const { runner, queries, history, feed } = this.#turns;
    const waiting = runner.queue.inOrder().map(({ query }) => query);
    const running = runner.running?.query ?? this.#turns.answeredElsewhere;
    const elsewhere = queries.elsewhere.filter((known) => known !== running);
    return {
      session_id: this.record.sessionId,
      state: running === undefined ? "idle" : "running",
      running: running === undefined ? null : idsOf(running),
      queued: [...waiting, ...elsewhere].map((query, index) => ({ ...idsOf(query), position: index + 1 })),
      connections: feed.connections.size,
      last_seq: feed.lastSeq,
      history_messages: history.size,
    };
  }

  /**
   * Takes a query: puts it in the queue and the log, and starts it where nothing runs. The same id again is answered
   * as it stands. Throws `option_not_allowed`, `budget_exceeded`, `busy`, `queue_full`, `id_conflict`, `shutting_down`;
   * then nothing was taken.
   */
  submit(connection: Connection, frame: QueryFrame): void {
    const known = frame.id === undefined ? undefined : this.#turns.queries.get(frame.id);
    if (known !== undefined) {
      if (!connection.isLive) return this.#repeats.takeWhenLive(connection, frame, known);
      // The log may no longer know it, and then neither do we.
      return this.#repeats.answer(connection, frame, { known, anew: () => this.submit(connection, frame) });
    }
    const policy = frame.policy ?? this.#deps.settings.queuePolicy;
    this.#checkAdmission(connection, frame, policy);
    const { ids, lifetime, activity } = this.#deps;
    const { history } = this.#turns;
    const turn = new Turn({
      queryId: frame.id ?? ids.uuid(),
      turnId: ids.uuid(),
      content: frame.content,
      priority: frame.priority ?? "normal",
      first: policy === "interrupt",
      options: frame.options ?? {},
      connectionId: connection.id,
      stream: frame.stream,
      feedback: history.takeNotes(),
      payers: connection.quotaKeys,
    });
    // Nobody is stopped for a query that is refused.
    const displaced = this.#displacedBy(policy);
    const stop = this.#stopElsewhere(policy);
    activity.reasoning(this.record, turn, "queued");
    const committing = this.#turns.submit(turn, {
      ...(stop && { stop }),
      ...(policy === "reject" && { onlyIfIdle: true }),
    }, mayBeRepeat(connection, frame, this.#deps.clock.now()));
    lifetime.hold(
      committing.then(
        (committed) => this.#onTaken(connection, frame, { turn, displaced, committed }),
        (thrown) => this.#giveUp(connection, turn, thrown),
      ),
    );
  }

  /** Stops turns: see {@linkcode cancelTurns}. */
  cancel(selector: CommandArgs<"cancel">): Promise<readonly string[]> {
    return cancelTurns(selector, this.#turns);
  }

  /** Puts the conversation so far out of the model's sight. */
  async clear(connection: Connection, commandId: string | undefined): Promise<void> {
    const event = {
      kind: "cleared",
      clearId: this.#deps.ids.uuid(),
      connectionId: connection.id,
    } as const;
    await this.feed.commit({ events: [commandId === undefined ? event : { ...event, commandId }] });
    this.#deps.activity.session(this.record, "updated");
  }

  /** Sets what queries fall back on, and answers with all that is set: see {@linkcode Configuring}. */
  async configure(options: QueryOptions): Promise<Record<string, unknown>> {
    const { settings } = this.#deps;
    this.#configuring ??= new Configuring(this.#turns, settings);
    const defaults = await this.#configuring.set(options);
    this.#deps.activity.session(this.record, "updated");
    return {
      model: settings.models[0],
      temperature: settings.temperature,
      max_tokens: settings.maxTokens,
      ...defaults,
    };
  }

  /** Records what somebody thinks of a turn: see {@linkcode FeedbackTaker}. */
  takeFeedback(frame: FeedbackFrame): Promise<StatusFields> {
    const { record: { sessionId } } = this;
    const { eventLog, ids, call } = this.#deps;
    this.#feedback ??= new FeedbackTaker({
      sessionId,
      turns: this.#turns,
      eventLog,
      newId: () => ids.uuid(),
      onNoted: (comment) => call(sessionId, { kind: "noted", comment }),
    });
    return this.#feedback.take(frame);
  }

  /** Something was pushed in from another function. Rejects as the log does. */
  async notify(notification: NotificationEvent): Promise<void> {
    await this.feed.commit({ events: [notification] });
  }

  /** Another worker that holds the session tells something. */
  receive(call: SessionCall): void {
    this.#turns.receive(call);
  }

  /** Shows what the log has up to `seq`. */
  catchUp(seq: number): void {
    this.#turns.catchUp(seq);
  }

  /**
   * Takes no more queries and lets the running turn finish for `timeoutMs`; what is not done then is interrupted, or left to
   * another worker. Settles when nothing runs any more.
   */
  async drain(why: AgentError, { timeoutMs, leave }: DrainOptions): Promise<void> {
    this.#refusal = why;
    await this.#turns.drain(timeoutMs, leave);
  }

  /** Ends everything here at once and without a trace: the session is no more, or no longer this worker's. */
  abandon(why: AgentError): void {
    this.#refusal = why;
    this.#turns.abandon();
    this.#memory.close();
  }

  /** What a query's policy asks of the worker that runs the turns: with its write, unless it is surely this one. */
  #stopElsewhere(policy: QueuePolicy): StopRequest | undefined {
    if (this.#turns.isHere) return undefined;
    if (policy === "interrupt") return { which: "running", reason: "interrupted" };
    return policy === "latest" ? { which: "waiting", reason: "superseded" } : undefined;
  }

  /** What a query's policy asks of the turns of this worker. */
  #displacedBy(policy: QueuePolicy): readonly Turn[] {
    const { running, queue } = this.#turns.runner;
    if (policy === "latest") return queue.inOrder();
    return policy === "interrupt" && running !== undefined ? [running] : [];
  }

  #checkAdmission(connection: Connection, { content, options = {} }: QueryFrame, policy: QueuePolicy): void {
    const { settings, budget, memory } = this.#deps;
    const { runner, isElsewhere, elsewhere } = this.#turns;
    if (this.#refusal !== undefined) throw this.#refusal;
    if (!memory.admit(bytesOfQuery(content, settings.maxTokens))) {
      const words = "Cannot take query: this worker's memory is used up";
      throw new AgentError("queue_full", words, { retryable: true });
    }
    checkOptions(options, settings);
    const retryAfterMs = budget.exhausted(connection.quotaKeys);
    if (retryAfterMs !== undefined) {
      const words = "Cannot take query: the day's token budget is used up";
      throw new AgentError("budget_exceeded", words, { retryable: true, retryAfterMs });
    }
    if (runner.running === undefined && !(isElsewhere && elsewhere > 0)) return;
    if (policy === "reject") {
      throw new AgentError("busy", "Cannot take query: an answer is being written", { retryable: true });
    }
    // One of those elsewhere runs. `latest` makes its own room.
    const waiting = isElsewhere ? elsewhere - 1 : runner.queue.size;
    if (policy !== "latest" && settings.maxQueue > 0 && waiting >= settings.maxQueue) {
      const words = `Cannot take query: ${settings.maxQueue} are waiting already`;
      throw new AgentError("queue_full", words, { retryable: true });
    }
  }

  /** The question is in the log: this one, or one of the same id that was there before. */
  #onTaken(
    connection: Connection,
    frame: QueryFrame,
    { turn, displaced, committed }: { turn: Turn; displaced: readonly Turn[]; committed: Committed },
  ): void | Promise<void> {
    const { events: [event], reached } = committed;
    const reason = turn.query.first ? "interrupted" : "superseded";
    if (event?.kind === "query" && event.turnId !== turn.query.turnId) {
      this.#turns.drop(turn);
      this.#returnNotes(turn, event.feedback);
      if (!connection.isLive) return this.#repeats.takeWhenLive(connection, frame, event);
      return this.#repeats.answerFromLog(connection, frame, event);
    }
    this.#turns.passOn(reached, reason);
    for (const { query } of displaced) this.#turns.runner.stop(query.queryId, { signal: "cancel", reason });
    if (turn.state === "running") {
      this.feed.broadcast(renderThinking(turn.query, this.#deps.clock.now()), connection.id);
    }
  }

  /** The question has no place in the log, as far as is known: nothing was taken. */
  #giveUp(connection: Connection, turn: Turn, thrown: unknown): void {
    const error = toAgentError(thrown);
    this.#turns.drop(turn);
    this.#returnNotes(turn);
    // The log may have had the query before, and its end too.
    if (this.#turns.queries.get(turn.query.queryId)?.terminalSeq === undefined) {
      connection.send(renderError(error, this.#deps.clock.now(), turn.query.queryId));
    }
    if (error.code !== "busy") this.#turns.failed(thrown);
  }

  /** Comments that a query carried which came to nothing wait for the next one, but for those that the log has of it. */
  #returnNotes({ query: { feedback } }: Turn, kept: readonly string[] = []): void {
    for (const note of feedback) if (!kept.includes(note)) this.#turns.history.addNote(note);
  }
}

/** How long a running turn may take when the worker ends, and what becomes of what is not done. */
export interface DrainOptions {
  /** 0: for as long as it takes. */
  timeoutMs: number;
  leave: "interrupt" | "hand_over";
}

function idsOf({ queryId, turnId }: { queryId: string; turnId: string }): { id: string; turn_id: string } {
  return { id: queryId, turn_id: turnId };
}

/**
 * One session: the requests of its clients.
 *
 * Each request becomes an event of the core, whose effects the driver performs. `core/` makes every decision.
 */

import type { AgentError } from "../errors.ts";
import { SessionMemory } from "../guard/memory_budget.ts";
import type { StopRequest } from "../ports/event_log.ts";
import type { SessionRecord, StoredSession } from "../ports/session_store.ts";
import type { CommandArgs, FeedbackFrame, QueryFrame } from "../protocol/client_frames.ts";
import type { LogEvent, NotificationEvent } from "../protocol/log_event.ts";
import type { StatusFields } from "../protocol/render.ts";
import type { ServerFrame } from "../protocol/server_frames.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import type { WishResult } from "./core/effect.ts";
import type { SessionEvent } from "./core/event.ts";
import { openSession } from "./core/open.ts";
import type { Thread } from "./core/thread.ts";
import { describeTurns, openTurnsOf } from "./describe.ts";
import { CallDecisions } from "./call_decisions.ts";
import { Configuring } from "./configuring.ts";
import { SessionDriver } from "./driver.ts";
import type { DriverSink } from "./driver_deps.ts";
import { FeedbackTaker } from "./feedback_taker.ts";
import { askedQuestion, checkQuery } from "./query_admission.ts";
import type { Reader } from "./reader.ts";
import { toError } from "./refusals.ts";
import type { DrainOptions, SessionDeps, SessionOptions } from "./session_options.ts";
import { measureSession } from "./session_size.ts";
import { Wishes } from "./wishes.ts";

export class Session implements DriverSink {
  readonly record: SessionRecord;
  readonly #deps: SessionDeps;
  readonly #driver: SessionDriver;
  readonly #memory: SessionMemory;
  readonly onGone: () => void;
  readonly #wishes = new Wishes();
  #lastActivity: number;
  /** Until when the store counts the session as in use. */
  #keptActivity: number;
  /** Why requests are refused: the worker is shutting down, or the session has ended. */
  #refusal: AgentError | undefined;
  #drained: (() => void) | undefined;
  #isDrained = false;
  /** Created with the first decision. */
  #calls: CallDecisions | undefined;
  /** Created with the first `configure`. */
  #configuring: Configuring | undefined;
  /** Created with the first feedback. */
  #feedback: FeedbackTaker | undefined;

  constructor(stored: StoredSession, { deps, core, isLogHere, onGone }: SessionOptions) {
    const { record } = stored;
    this.record = record;
    this.#deps = deps;
    this.onGone = onGone;
    this.#memory = new SessionMemory(deps.memory, { isLogHere });
    const now = this.#lastActivity = this.#keptActivity = deps.clock.now();
    this.#driver = new SessionDriver(openSession(stored, core, now), {
      record,
      deps,
      sink: this,
    });
    this.#memory.set(measureSession(this.#driver.state), 0);
  }

  /** Its connections at this worker. */
  get connections(): readonly Reader[] {
    return [...this.#driver.audience.readers.values()];
  }

  get connectionCount(): number {
    return this.#driver.audience.readers.size;
  }

  get lastSeq(): number {
    return this.#driver.state.log.lastSeq;
  }

  /** Turns of the log without an end, oldest first. */
  get openTurns(): ReturnType<typeof openTurnsOf> {
    return openTurnsOf(this.#driver.state);
  }

  /** The steps of an open turn that calls tools; undefined for any other turn. */
  threadOf(turnId: string): Thread | undefined {
    return this.#driver.state.threads.get(turnId);
  }

  /** Whether this worker is running a turn, has asked for a lease to run one, or is writing its end to the log. */
  get isRunning(): boolean {
    const { turns, lease } = this.#driver.state;
    if (lease.name === "claiming") return true;
    for (const { phase } of turns.values()) if (phase !== "remote") return true;
    return false;
  }

  /** Time of the last activity, in milliseconds since the epoch; now, while a turn runs. */
  get lastActivity(): number {
    return this.isRunning ? this.#deps.clock.now() : this.#lastActivity;
  }

  /** Records activity. */
  touch(): void {
    this.#lastActivity = this.#deps.clock.now();
  }

  /** Tells the store that the session is in use, unless a recent write has done so. */
  keepAlive(): void {
    if (this.#lastActivity <= this.#keptActivity) return;
    this.#keptActivity = this.#lastActivity;
    this.#driver.take({ kind: "touch" });
  }

  /** Shows a connection everything after `cursor`, and what comes later. `isResumed`: its client may repeat earlier queries. */
  attach(reader: Reader, { cursor, isResumed }: { cursor: number; isResumed: boolean }): void {
    this.#driver.audience.readers.set(reader.id, reader);
    const { id: connectionId, wantsDeltas, wantsReasoning } = reader;
    this.#driver.take({ kind: "attach", connectionId, cursor, wantsDeltas, wantsReasoning, isResumed });
  }

  detach({ id }: Reader): void {
    this.#driver.audience.readers.delete(id);
    this.#driver.take({ kind: "detach", connectionId: id });
  }

  /** The newest `seq` that a connection was shown. */
  cursorOf({ id }: Reader): number | undefined {
    return this.#driver.state.connections.get(id)?.cursor;
  }

  /** Sends a frame that is not part of the log to every live connection. */
  broadcast(frame: ServerFrame): void {
    this.#driver.audience.broadcast(frame);
  }

  /** The answer to the command `status`. */
  describe(): Record<string, unknown> {
    const { state } = this.#driver;
    return {
      session_id: this.record.sessionId,
      ...describeTurns(state),
      connections: this.connectionCount,
      last_seq: state.log.lastSeq,
      history_messages: 2 * state.history.exchanges.length,
    };
  }

  /**
   * Accepts a query; frames answer it. A repeated id is answered with the current state of its turn. Throws
   * `option_not_allowed`, `budget_exceeded`, `queue_full` (no memory) or `shutting_down`; then nothing was accepted.
   */
  submit(reader: Reader, frame: QueryFrame): void {
    const { ids, settings, activity } = this.#deps;
    const queryId = frame.id ?? ids.uuid();
    const { turns, ended } = this.#driver.state;
    const isKnown = turns.has(queryId) || ended.has(queryId);
    if (!isKnown) {
      if (this.#refusal !== undefined) throw this.#refusal;
      checkQuery(frame, reader.quotaKeys, this.#deps);
    }
    const policy = frame.policy ?? settings.queuePolicy;
    const turnId = ids.uuid();
    const query = askedQuestion(frame, reader, { queryId, turnId, first: policy === "interrupt" });
    if (!isKnown) activity.reasoning(this.record, { query, text: "" }, "queued");
    this.#driver.take({ kind: "ask", query, policy, refusal: undefined });
  }

  /**
   * Stops the turns that the selector names; by default the running one. Resolves with the ids of the stopped queries: with none
   * only if the log has none to stop. Rejects as the log does.
   */
  cancel({ id, all }: CommandArgs<"cancel">): Promise<readonly string[]> {
    const which: StopRequest["which"] = all === true ? "all" : id === undefined ? "running" : { queryId: id };
    return this.#wish("cancel", (wish) => ({ kind: "stop", wish, stop: { which, reason: "cancelled" } }));
  }

  /** Clears the history that the model sees. */
  async clear(reader: Reader, commandId: string | undefined): Promise<void> {
    const event = { kind: "cleared", clearId: this.#deps.ids.uuid(), connectionId: reader.id } as const;
    const cleared = commandId === undefined ? event : { ...event, commandId };
    await this.#wish("clear", (wish) => ({ kind: "append", wish, event: cleared }));
    this.#deps.activity.session(this.record, "updated");
  }

  /**
   * Sets the default options of queries, at every worker, and whether the connection gets deltas. The event of the log is the
   * answer; if nothing changes there is none. Rejects with `option_not_allowed`, and as the log does.
   */
  async configure(reader: Reader, args: CommandArgs<"configure">, commandId?: string): Promise<void> {
    const { settings, ids, activity } = this.#deps;
    this.#configuring ??= new Configuring({
      record: this.record,
      settings,
      activity,
      audience: this.#driver.audience,
      newId: () => ids.uuid(),
      append: (event) => this.#wish("configure", (wish) => ({ kind: "append", wish, event })),
      take: (event) => this.#driver.take(event),
    });
    await this.#configuring.configure(reader, args, commandId);
  }

  /** Records feedback on a turn: see {@linkcode FeedbackTaker}. */
  takeFeedback(frame: FeedbackFrame): Promise<StatusFields> {
    const { eventLog, ids } = this.#deps;
    this.#feedback ??= new FeedbackTaker({
      sessionId: this.record.sessionId,
      eventLog,
      newId: () => ids.uuid(),
      onNoted: (comment) => this.#driver.take({ kind: "noted", comment }),
    });
    return this.#feedback.take(frame, this.#driver.state.lastTurnId);
  }

  /** Decides about a tool call, or takes a client's result of one: see {@linkcode CallDecisions}. */
  get calls(): CallDecisions {
    const { ids, settings } = this.#deps;
    return this.#calls ??= new CallDecisions({
      newId: () => ids.uuid(),
      approvers: settings.approvers,
      state: this.#driver.state,
      agent: this.#driver.tools?.agent,
      settle: (action, callId, event) =>
        this.#wish(action, (wish) => ({ kind: "settle_call", wish, callId, event })),
    });
  }

  /** Appends a notification from another function. Rejects as the log does. */
  async notify(event: NotificationEvent): Promise<void> {
    await this.#wish("notify", (wish) => ({ kind: "append", wish, event }));
  }

  /** Handles a message from another worker that holds the session. */
  receive(call: SessionCall): void {
    this.#driver.take({ kind: "called", call });
  }

  /** Shows what the log has up to `seq`. */
  catchUp(seq: number): void {
    this.#driver.take({ kind: "head", seq });
  }

  /**
   * Accepts no more queries and gives the running turn `timeoutMs` to finish; then it is interrupted or handed over to another
   * worker. Resolves when nothing runs any more.
   */
  async drain(why: AgentError, { timeoutMs, leave }: DrainOptions): Promise<void> {
    if (leave === "hand_over") this.keepAlive();
    this.#refusal = why;
    const deadline = timeoutMs > 0 ? this.#deps.clock.now() + timeoutMs : Infinity;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained = resolve;
    this.#driver.take({ kind: "drain", deadline, leave });
    if (!this.#isDrained) await promise;
  }

  /** Ends everything here at once and writes nothing: the session was deleted, or belongs to another worker. */
  abandon(why: AgentError): void {
    this.#refusal = why;
    this.#driver.take({ kind: "abandon" });
    this.#wishes.rejectAll(why);
    this.onDrained();
    this.#memory.close();
  }

  #wish(action: string, eventFor: (wish: string) => SessionEvent): Promise<readonly string[]> {
    if (this.#driver.state.life.name === "gone") {
      return Promise.reject(this.#refusal ?? toError({ code: "shutting_down" }, action));
    }
    const { id, answer } = this.#wishes.open(action);
    this.#driver.take(eventFor(id));
    return answer;
  }

  /** For the driver, like the methods below. They are methods because closures would take 400 bytes of every idle session. */
  onLearnt(event: LogEvent): void {
    if (event.kind === "configured") this.#configuring?.learnt(event);
    // Notifications do not count as activity of the client.
    if (event.kind === "notification") return;
    this.touch();
    this.#keptActivity = this.#lastActivity;
  }

  onChanged(asking: number): void {
    this.#memory.set(measureSession(this.#driver.state), asking);
  }

  onAnswer(wish: string, result: WishResult): void {
    this.#wishes.settle(wish, result);
  }

  onDrained(): void {
    this.#isDrained = true;
    this.#drained?.();
  }
}

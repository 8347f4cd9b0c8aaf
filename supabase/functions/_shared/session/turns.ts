/**
 * The turns of one session: what the log says of them, and who answers them.
 *
 * What the model sees and which queries there are is read off the log, so any worker that reads it knows the same. The worker
 * with the lease runs the turns; the others show what it writes, and take over when it is gone.
 */

import { History } from "../agent/history.ts";
import { Turn } from "../agent/turn.ts";
import { toAgentError } from "../errors.ts";
import type { Committed, LogWrite, OpenTurn, SessionRecord, StopRequest, StoredSession } from "../ports.ts";
import type { QueryOptions } from "../protocol/client_frames.ts";
import { isTerminal, type LogEvent, type QueryEvent, type TerminalEvent } from "../protocol/log_event.ts";
import { renderError } from "../protocol/render.ts";
import type { StatusFrame } from "../protocol/server_frames.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { acknowledge, answeredElsewhere } from "./acknowledgement.ts";
import { accountFor, accountForVain } from "./accounts.ts";
import type { Connection } from "./connection.ts";
import { Feed } from "./feed.ts";
import { payersOf } from "./payers.ts";
import { requestFor } from "./model_request.ts";
import { type KnownQuery, QueryIndex } from "./query_index.ts";
import { Runner } from "./runner.ts";
import { Tail } from "./tail.ts";
import { inherit, Takeover, whyOf } from "./takeover.ts";
import { Tenure } from "./tenure.ts";
import type { TurnsDeps, TurnsOptions } from "./turns_options.ts";

export class Turns {
  readonly feed: Feed;
  readonly runner: Runner;
  readonly tail: Tail;
  readonly history: History;
  readonly queries: QueryIndex;
  /** What queries fall back on, set by `configure`. */
  defaults: QueryOptions;
  readonly #record: SessionRecord;
  readonly #deps: TurnsDeps;
  readonly #options: TurnsOptions;
  readonly #tenure: Tenure;
  readonly #takeover: Takeover;
  /** Open turns that a claim has brought, by id, until they are adopted; undefined where there are none. */
  #inherited: Map<string, OpenTurn> | undefined;
  /** Ends that the store has not taken, by turn; made with the first. */
  #unwritten: Map<string, TerminalEvent> | undefined;
  /** The turn that ran at another worker when this one came. */
  #begunBefore: string | undefined;

  constructor(stored: StoredSession, options: TurnsOptions) {
    const { record, defaults } = stored;
    const { deps } = options;
    const { clock, log, lifetime, activity, eventLog, model, checkpoints, renewLeaseMs, settings, call } =
      deps;
    this.#record = record;
    this.#deps = deps;
    this.#options = options;
    this.defaults = defaults;
    this.history = new History(settings.maxHistory, options.memory);
    this.queries = new QueryIndex(options.memory);
    this.#tenure = new Tenure(clock);
    const tell = (message: SessionCall): void => call(record.sessionId, message);
    // Each is given what it needs, and no more: there is one of each for every session.
    this.feed = new Feed({
      activity,
      eventLog,
      record,
      tenure: this.#tenure,
      lastSeq: stored.tail.lastSeq,
      onInDoubt: () => this.#takeover.fence(),
      onAnswer: (committed) => this.#onAnswer(committed),
      onEvent: (event) => this.#onEvent(event),
      onSettled: (committed) => this.#onSettled(committed),
      onAppended: (seq) => tell({ kind: "appended", seq }),
      renderForAsker: (event) => this.acknowledge(event.queryId, event.at),
      onLive: (connection) => this.#announceTo(connection),
    });
    this.tail = new Tail({ deps, sessionId: record.sessionId, feed: this.feed, tenure: this.#tenure });
    this.runner = new Runner({
      clock,
      model,
      lifetime,
      activity,
      checkpoints,
      renewLeaseMs,
      record,
      feed: this.feed,
      tenure: this.#tenure,
      mayStart: () => this.#mayStart(),
      requestFor: (turn) =>
        options.memory.asking(requestFor(turn, this.history, { ...settings, defaults: this.defaults })),
      isCommitted: (turn) => this.queries.get(turn.query.queryId)?.seq !== undefined,
      onText: (turn, offset) => this.tail.send(turn, offset),
      onEnded: (turn, ended) => {
        if (turn === this.runner.running) options.memory.answered();
        accountFor(turn, ended, record, deps);
      },
      onInVain: (turn) => accountForVain(turn, record, deps),
      onUnwritten: (ended, thrown) => this.#onUnwritten(ended, thrown),
      onLost: () => this.#takeover.look(),
      onDisowned: () => this.#onDisowned(),
    });
    this.#takeover = new Takeover({
      clock,
      log,
      lifetime,
      sessionId: record.sessionId,
      feed: this.feed,
      tenure: this.#tenure,
      isNeeded: () => this.runner.isUnclaimed || this.feed.connections.size > 0 && this.elsewhere > 0,
      onElsewhere: () => this.tail.ask(),
      onFenced: (seq) => tell({ kind: "appended", seq }),
      onGone: () => options.onGone(),
    });
    this.#restore(stored);
  }

  /** Turns that another worker runs or has left, and the log knows. */
  get elsewhere(): number {
    return this.queries.elsewhere.filter(({ seq }) => seq !== undefined).length;
  }

  /** Whether this worker has the session's turns: it knows of all of them then. */
  get isHere(): boolean {
    return this.#tenure.state.name === "self";
  }

  /** Whether another worker has the session's turns, as far as it is known here. */
  get isElsewhere(): boolean {
    return this.#tenure.state.name === "other";
  }

  /** The query that another worker answers, as far as is known here; undefined where none does. */
  get answeredElsewhere(): KnownQuery | undefined {
    const { queries, tail, isElsewhere } = this;
    return answeredElsewhere({ queries, tail, isElsewhere, begunBefore: this.#begunBefore });
  }

  /** Takes a turn and brings its question into the log: see {@linkcode Runner.submit}. */
  submit(turn: Turn, extra: Pick<LogWrite, "stop" | "onlyIfIdle">, isRepeat: boolean): Promise<Committed> {
    this.queries.accept(turn);
    if (this.isElsewhere) this.queries.detachAll();
    return this.runner.submit(turn, extra, isRepeat);
  }

  /** The store has the wish that these be stopped; whoever runs them hears of it sooner this way. */
  passOn(queryIds: readonly string[], reason: StopRequest["reason"]): void {
    if (queryIds.length === 0) return;
    for (const id of queryIds) this.runner.stop(id, { signal: "cancel", reason });
    this.#deps.call(this.#record.sessionId, { kind: "stop", queryIds: [...queryIds], reason });
  }

  /** Takes back a turn whose question the log has not taken, or has had before. */
  drop(turn: Turn): void {
    this.runner.drop(turn);
    this.queries.takeBack(turn);
  }

  /** A write has failed. What the store has done of it is asked for, if it can have done anything. */
  failed(thrown: unknown): void {
    const { log } = this.#deps;
    const error = toAgentError(thrown);
    const isGone = error.code === "unknown_session";
    const level = isGone ? "info" : "error";
    log.write({ level, event: "commit_failed", session_id: this.#record.sessionId, error });
    if (isGone) this.#options.onGone();
    else this.#takeover.fence();
  }

  /** Another worker tells something. */
  receive(call: SessionCall): void {
    switch (call.kind) {
      case "appended":
        // Nobody is here to be shown it: it is read when somebody comes.
        if (this.feed.connections.size === 0 && !this.runner.isBusy) return;
        return this.catchUp(call.seq);
      case "released":
        return;
      case "stop":
        for (const id of call.queryIds) this.runner.stop(id, { signal: "cancel", reason: call.reason });
        return;
      case "tail_wanted":
        return this.tail.wanted(this.runner.running, call.have);
      case "tail":
        // A piece may come after the end, which was read in the log.
        if (this.queries.get(call.queryId)?.terminalSeq !== undefined) return;
        return this.tail.take(call, { isHidden: this.runner.running?.query.turnId === call.turnId });
      case "noted":
        return this.history.addNote(call.comment);
      case "deleted":
        return this.#options.onGone();
    }
  }

  /** Shows what is in the log up to `seq`, as soon as the store can be reached. Never throws. */
  catchUp(seq: number): void {
    const { lifetime, log } = this.#deps;
    lifetime.hold(
      this.feed.catchUp(seq).catch((thrown) => {
        const error = toAgentError(thrown);
        log.write({ level: "warn", event: "catch_up_failed", session_id: this.#record.sessionId, error });
        if (error.code === "unknown_session") this.#options.onGone();
        else this.#takeover.fence();
      }),
    );
  }

  /** The `status` that answers a query: that it waits, or that it is being answered. */
  acknowledge(queryId: string, at: number): StatusFrame {
    const { queries, runner } = this;
    return acknowledge(queryId, at, { queries, runner, answeredElsewhere: this.answeredElsewhere });
  }

  /** Starts nothing more; see {@linkcode Runner.drain}. */
  async drain(timeoutMs: number, leave: "interrupt" | "hand_over"): Promise<void> {
    this.#takeover.stop();
    await this.runner.drain(timeoutMs, leave);
  }

  /** Ends everything at once and without a trace. */
  abandon(): void {
    this.#takeover.end();
    this.runner.abandon();
  }

  #restore({ tail, openTurns, notes }: StoredSession): void {
    const oldest = tail.events[0]?.seq ?? Infinity;
    for (const { query } of openTurns) if (query.seq < oldest) this.#fold(query);
    for (const event of tail.events) this.#fold(event);
    for (const note of notes) this.history.addNote(note);
    this.#begunBefore = openTurns.find(({ starts }) => starts > 0)?.query.turnId;
    this.#tenure.glimpsed(tail.lease);
  }

  #fold(event: LogEvent): void {
    this.history.apply(event);
    this.queries.apply(event, event.seq - this.#deps.settings.maxEvents + 1);
  }

  #mayStart(): boolean {
    const { name } = this.#tenure.state;
    return name === "self" || name === "nobody" && this.elsewhere === 0;
  }

  #onAnswer({ lease, openTurns = [], events: [event] }: Committed): void {
    for (const open of openTurns) (this.#inherited ??= new Map()).set(open.query.turnId, open);
    if (event?.kind === "query") {
      this.runner.answered(
        event.turnId,
        this.#inherited === undefined && event.seq === this.feed.lastSeq + 1,
      );
    }
    if (lease.holder === "other" && this.runner.isBusy) this.runner.yield();
  }

  #onEvent(event: LogEvent): void {
    const known = isTerminal(event) ? this.queries.get(event.queryId) : undefined;
    const ended = isTerminal(event) && known?.turnId === event.turnId ? known.turn : undefined;
    if (event.kind === "query") this.#dropSecond(event);
    this.#fold(event);
    this.#options.onEvent(event);
    if (event.kind === "query" && this.#tenure.state.name === "self") {
      const begun = this.#inherited?.get(event.turnId);
      this.#adopt(begun ?? { query: event, starts: 0, partial: "", stopped: undefined });
    }
    if (!isTerminal(event)) return;
    this.#inherited?.delete(event.turnId);
    this.#unwritten?.delete(event.turnId);
    this.tail.ended(event);
    // Another worker may have ended what runs or has just ended here: then ours is not wanted any more.
    if (ended !== undefined) this.runner.overrule(ended, event);
  }

  /** The log had the query already, from another worker: ours is not wanted, whenever the answer to its write comes. */
  #dropSecond({ queryId, turnId }: QueryEvent): void {
    const ours = this.queries.get(queryId)?.turn;
    if (ours !== undefined && ours.query.turnId !== turnId) this.drop(ours);
  }

  #onSettled(committed: Committed | undefined): void {
    if (this.#tenure.state.name === "self") {
      // They were all asked before what waits here. The oldest goes first, so it comes last.
      for (const open of [...this.#inherited?.values() ?? []].reverse()) this.#adopt(open, { isOlder: true });
      this.tail.forget();
      for (const { queryId, reason } of committed?.stopped ?? []) {
        this.runner.stop(queryId, { signal: "cancel", reason });
      }
    }
    this.#inherited = undefined;
    this.runner.startNext();
    this.runner.releaseIdle();
    this.#takeover.look();
  }

  /** Goes on with a turn that another worker has left, or takes one that it has appended. */
  #adopt(open: OpenTurn, { isOlder = false } = {}): void {
    const { query: { kind: _kind, seq, at: _at, ...query } } = open;
    const known = this.queries.get(query.queryId);
    if (known?.turn !== undefined || known?.terminalSeq !== undefined) return;
    const fate = inherit(open, this.#deps.settings.continuePolicy);
    // Another worker may have begun it, and shown some of it, without having told the store.
    const isBegun = open.starts > 0 || this.tail.hasShown(query.turnId);
    const turn = new Turn(
      { ...query, stream: undefined, payers: payersOf(this.#record) },
      isBegun ? { text: fate.text } : undefined,
    );
    this.queries.attach(turn, seq);
    const unwritten = this.#unwritten?.get(query.turnId);
    if (unwritten !== undefined) {
      // Another worker may have shown how it went on with it.
      this.tail.ended(unwritten);
      return this.runner.conclude(unwritten);
    }
    if (isBegun) {
      const { log, metrics } = this.#deps;
      metrics.count("turns_taken_over_total", fate.kind);
      log.write({
        level: "info",
        event: "turn_taken_over",
        session_id: this.#record.sessionId,
        turn_id: query.turnId,
        how: fate.kind,
        chars: fate.text.length,
      });
      this.runner.queue.pushFirst(turn);
    } else {
      if (isOlder && !query.first) this.runner.queue.pushBack(turn);
      else this.runner.queue.push(turn);
    }
    if (fate.kind !== "run") this.runner.stop(query.queryId, whyOf(fate));
  }

  #onDisowned(): void {
    this.#options.memory.answered();
    this.queries.detachAll();
    // The worker that has taken over may have been heard before we knew of it.
    for (const connection of this.feed.connections) this.tail.announceTo(connection);
  }

  #onUnwritten(ended: TerminalEvent, thrown: unknown): void {
    const error = toAgentError(thrown);
    if (error.code === "lease_lost" || error.code === "id_conflict") {
      if (ended.kind === "cancelled") this.#stopElsewhere(ended);
      return;
    }
    (this.#unwritten ??= new Map()).set(ended.turnId, ended);
    const { feed, queries, runner } = this;
    // That the session is gone is told by its close.
    if (error.code !== "unknown_session" && queries.get(ended.queryId)?.terminalSeq === undefined) {
      feed.broadcast(renderError(error, this.#deps.clock.now(), ended.queryId));
    }
    // Others may have taken over long ago: everything here is dropped, and comes again with the lease.
    this.#tenure.lost();
    runner.yield();
    this.failed(thrown);
  }

  /** What was to be stopped here has to be stopped by whoever runs the turns now. */
  #stopElsewhere({ queryId, reason }: Extract<TerminalEvent, { kind: "cancelled" }>): void {
    const stopping = this.feed.commit({ stop: { which: { queryId }, reason } })
      .then(({ reached }) => this.passOn(reached, reason), (thrown) => this.failed(thrown));
    this.#deps.lifetime.hold(stopping);
  }

  #announceTo(connection: Connection): void {
    // What runs here may be nobody's question, while another worker answers one.
    this.tail.announceTo(connection);
    this.runner.announceTo(connection);
    this.#takeover.look();
  }
}

/**
 * Runs the turns of one session, one at a time: queue → turn → log.
 *
 * The model is asked before anything is announced or committed; every turn that was taken ends with one terminal event.
 * Only the holder of the session's lease may run turns: a turn that begins claims it with the write of its question,
 * and one that turns out to be another worker's is dropped without a trace.
 */

import type { StopReason, Turn } from "../agent/turn.ts";
import { TurnQueue } from "../agent/turn_queue.ts";
import { hasEnded } from "../agent/turn_machine.ts";
import { AgentError } from "../errors.ts";
import type { Committed, LogWrite, StopRequest } from "../ports.ts";
import type { TerminalEvent } from "../protocol/log_event.ts";
import { renderThinking } from "../protocol/render.ts";
import type { Connection } from "./connection.ts";
import { RunningTurn } from "./running_turn.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { isLost } from "./tenure.ts";
import { TurnEnds } from "./turn_ends.ts";

export class Runner {
  readonly queue = new TurnQueue();
  readonly #options: RunnerOptions;
  readonly #ends: TurnEnds;
  #running: RunningTurn | undefined;
  /** Turns that may have been asked elsewhere, and have no answer from the log yet. */
  readonly #unanswered = new WeakSet<Turn>();
  /** Turns whose questions told of their start. */
  readonly #startTold = new WeakSet<Turn>();
  #renewedAt = 0;
  /** Nothing starts any more. */
  #isEnding = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    const { feed, tenure } = options;
    this.#ends = new TurnEnds({
      feed,
      tenure,
      starting: () => this.#running?.started,
      hasMore: () => this.queue.size > 0 || this.#running?.isEnding === false,
      onUnwritten: (ended, thrown) => {
        if (isLost(thrown)) this.#lose();
        options.onUnwritten(ended, thrown);
      },
    });
  }

  get running(): Turn | undefined {
    return this.#running?.turn;
  }

  /** What runs and waits here. */
  get all(): readonly Turn[] {
    return [...(this.#running === undefined ? [] : [this.#running.turn]), ...this.queue.inOrder()];
  }

  /** Whether a turn runs, and it is not known whether the claim of the lease that was made for it was done. */
  get isUnclaimed(): boolean {
    return this.#running?.isUnclaimed ?? false;
  }

  /** Whether anything runs or waits here. */
  get isBusy(): boolean {
    return this.#running !== undefined || this.queue.size > 0;
  }

  /** Starts the turn whose turn it is, unless one runs here or elsewhere. */
  startNext(): void {
    const turn = this.#start();
    if (turn === undefined) return;
    const { feed, lifetime, tenure: { state } } = this.#options;
    if (state.name === "self" && this.#startTold.has(turn)) return this.#told(Promise.resolve());
    const holding = state.name === "self" ? { epoch: state.epoch } : { lease: "claim" } as const;
    // At once, so that whoever wants the running turn stopped finds it in the log.
    const committing = feed.commit({ ...holding, startedTurnId: turn.query.turnId });
    this.#told(committing);
    lifetime.hold(committing.catch((thrown) => isLost(thrown) && this.#lose()));
  }

  /** Gives the lease up if nothing runs or waits here. */
  releaseIdle(): void {
    const releasing = this.#ends.releaseIdle();
    if (releasing) this.#options.lifetime.hold(releasing.catch((thrown) => isLost(thrown) && this.#lose()));
  }

  /**
   * Takes a turn, starts it where nothing runs, and brings its question into the log. One that may have been asked elsewhere
   * (`isRepeat`) starts when the log has taken it. Rejects as the log does.
   */
  submit(turn: Turn, extra: Pick<LogWrite, "stop" | "onlyIfIdle">, isRepeat: boolean): Promise<Committed> {
    const { feed, tenure } = this.#options;
    if (tenure.state.name !== "other") this.queue.push(turn);
    if (isRepeat) this.#unanswered.add(turn);
    const isNext = this.#mayStart() && this.queue.inOrder()[0] === turn;
    const isStarted = this.#start() === turn;
    if (isNext && !isStarted) this.#startTold.add(turn);
    const committing = feed.commit({
      events: [turn.toEvent()],
      ...extra,
      // Also where it seems ours: a lease under which nothing ran was not renewed.
      ...((isNext || tenure.state.name === "nobody") && { lease: "claim" }),
      ...(isNext && { startedTurnId: turn.query.turnId }),
    }).then((committed) => {
      const [event] = committed.events;
      // The log knew the query already. Before anybody goes on who has waited for this answer.
      if (event?.kind !== "query" || event.turnId === turn.query.turnId) return committed;
      this.drop(turn);
      this.startNext();
      return committed;
    });
    this.#ends.asked(turn, committing);
    if (isStarted) this.#told(committing);
    return committing;
  }

  /** The log has taken a question; `isNewest` where nothing is to be read or adopted before it. */
  answered(turnId: string, isNewest: boolean): void {
    const turn = this.queue.inOrder().find(({ query }) => query.turnId === turnId);
    if (turn && this.#unanswered.delete(turn) && isNewest) this.startNext();
  }

  /** Stops one turn, running or waiting, by the id of its query. Answers whether there was one. */
  stop(queryId: string, why: StopReason): boolean {
    const running = this.#running?.turn;
    if (running?.query.queryId === queryId) {
      running.stop(why);
      return true;
    }
    const waiting = this.queue.remove(queryId);
    if (waiting !== undefined) this.#stopWaiting(waiting, why);
    return waiting !== undefined;
  }

  /** Stops what `which` names and answers with the ids of the queries. */
  stopAll(which: StopRequest["which"], why: StopReason): readonly string[] {
    if (typeof which === "object") return this.stop(which.queryId, why) ? [which.queryId] : [];
    const running = this.#running?.turn;
    const waiting = which === "running" ? [] : this.queue.removeAll();
    for (const turn of waiting) this.#stopWaiting(turn, why);
    const ids = waiting.map(({ query }) => query.queryId);
    if (which === "waiting" || running === undefined) return ids;
    running.stop(why);
    return [running.query.queryId, ...ids];
  }

  /** Brings the end of a turn that ran here before into the log. */
  conclude(ended: TerminalEvent): void {
    this.#options.lifetime.hold(this.#ends.write(ended));
  }

  /** Drops a turn: the question is not in the log, or is there as another turn. What was shown of it is taken back. */
  drop(turn: Turn): void {
    this.queue.delete(turn);
    if (this.#running?.turn === turn) this.#takeBack("");
  }

  /** The log has the end of a turn that waits or runs here. What was shown of it is made to be what it came to. */
  overrule(turn: Turn, ended: TerminalEvent): void {
    this.queue.delete(turn);
    if (this.#running?.turn === turn) {
      this.#takeBack(ended.kind === "response" ? ended.content : ended.partial);
    }
  }

  /** Drops everything without a trace, and takes nothing more. */
  abandon(): void {
    this.#isEnding = true;
    this.queue.removeAll();
    this.#release();
    this.#options.onDisowned();
  }

  /** Drops everything: another worker runs the session's turns, and may continue with different text. */
  yield(): void {
    this.queue.removeAll();
    this.#takeBack("");
    this.#options.onDisowned();
  }

  /** Sends the running turn's text so far to a connection that has just caught up. */
  announceTo(connection: Connection): void {
    this.#running?.announceTo(connection);
  }

  /**
   * Starts nothing more, and lets the running turn finish for `timeoutMs` (0: for as long as it takes). What is not done
   * then goes to `leave`: it is stopped, or left to another worker. Settles when nothing runs here any more.
   */
  async drain(timeoutMs: number, leave: "interrupt" | "hand_over"): Promise<void> {
    this.#isEnding = true;
    const error = new AgentError("interrupted", "the worker was replaced before the answer was done", {
      retryable: true,
    });
    const why: StopReason = { signal: "interrupt", error };
    if (leave === "interrupt") this.stopAll("waiting", why);
    else this.queue.removeAll();
    const running = this.#running;
    if (running === undefined) return this.releaseIdle();
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = (): void => {
      if (leave === "interrupt") return void running.turn.stop(why);
      this.#handOver(running).then(resolve, resolve);
    };
    const cancelTimer = timeoutMs > 0 ? this.#options.clock.after(timeoutMs, stop) : undefined;
    await Promise.race([running.done, promise]);
    cancelTimer?.();
  }

  #mayStart(): boolean {
    return this.#running === undefined && !this.#isEnding && this.#options.mayStart();
  }

  /** Takes a turn out of the queue and asks the model. */
  #start(): Turn | undefined {
    const { clock, feed, lifetime } = this.#options;
    const [first] = this.queue.inOrder();
    if (first === undefined || this.#unanswered.has(first) || !this.#mayStart()) return undefined;
    const turn = this.queue.next() ?? first;
    const running = new RunningTurn(turn, { clock, connections: feed.connections });
    this.#running = running;
    running.done = this.#run(running);
    lifetime.hold(running.done);
    return turn;
  }

  /** The write that tells of the running turn's start is on its way. */
  #told(committing: Promise<unknown>): void {
    const running = this.#running;
    if (running === undefined) return;
    running.isStartTold = true;
    running.isUnclaimed = false;
    this.#renewedAt = this.#options.clock.now();
    running.started = committing.then(() => {}, () => {
      running.isStartTold = false;
      running.isUnclaimed = true;
    });
  }

  async #run(running: RunningTurn): Promise<void> {
    const { turn } = running;
    const { model, feed, clock, requestFor, isCommitted, record, activity, checkpoints } = this.#options;
    const request = requestFor(turn);
    const ending = turn.run(model, request, (text) => {
      // The model may not have noticed yet.
      if (running.isReleased) return;
      this.#sendDelta(running, turn.text.length - text.length, text);
      activity.streaming(record, turn, request.maxTokens);
    });
    activity.memory(record, { operation: "recall", sector: "history" }, { success: true, durationMs: 0 });
    activity.reasoning(record, turn, "thinking");
    if (isCommitted(turn)) feed.broadcast(renderThinking(turn.query, clock.now()));
    // What another worker has written: here may be clients who have more of it, or less.
    if (turn.isTakenOver) this.#sendDelta(running, 0, turn.text);
    else this.#options.onText(turn, 0);
    const stopCheckpoints = checkpoints.add(() => this.#checkpoint(running));
    const ended = await ending;
    stopCheckpoints();
    if (running.isReleased) return;
    running.end();
    await this.#end(turn, ended, () => running.isReleased);
    if (running.isReleased) return;
    this.#running = undefined;
    this.startNext();
  }

  /** Gives the running turn up; what its model has written since the last checkpoint is for nobody. */
  #takeBack(shown: string): void {
    const turn = this.#running?.turn;
    if (turn !== undefined && !hasEnded(turn.state)) this.#options.onInVain(turn);
    this.#release(shown);
  }

  /** Gives the running turn up: from this moment on nothing runs here. See {@linkcode RunningTurn.release}. */
  #release(shown?: string): void {
    this.#running?.release(shown);
    this.#running = undefined;
  }

  #sendDelta(running: RunningTurn, offset: number, text: string): void {
    running.show(offset, text);
    this.#options.onText(running.turn, offset);
  }

  #stopWaiting(turn: Turn, why: StopReason): void {
    const ended = turn.stop(why);
    if (ended !== undefined) this.#options.lifetime.hold(this.#end(turn, ended));
  }

  /** Never rejects: where the log is out of reach, everyone is told. */
  async #end(turn: Turn, ended: TerminalEvent, isUnwanted?: () => boolean): Promise<void> {
    this.#options.onEnded(turn, ended);
    await this.#ends.write(ended, { turn, ...(isUnwanted && { isUnwanted }) });
  }

  /** Puts down what there is of the answer, and renews the lease. */
  #checkpoint(running: RunningTurn): void {
    const { clock, tenure, lifetime, renewLeaseMs } = this.#options;
    const { turn, record } = running;
    if (running.isWriting || running.isReleased || tenure.state.name !== "self") return;
    const checkpoint = record.next();
    if (checkpoint === undefined && clock.now() - this.#renewedAt < renewLeaseMs) return;
    running.isWriting = true;
    this.#renewedAt = clock.now();
    const start = running.isStartTold ? {} : { startedTurnId: turn.query.turnId };
    running.isStartTold = true;
    const writing = this.#options.feed.commit({
      epoch: tenure.state.epoch,
      ...start,
      ...(checkpoint && { checkpoint }),
    }).catch((thrown) => {
      if (isLost(thrown)) return this.#lose();
      // The next one tries again, from the start.
      record.startOver();
      running.isStartTold = false;
    }).finally(() => running.isWriting = false);
    lifetime.hold(writing);
  }

  async #handOver(running: RunningTurn): Promise<void> {
    const { feed, tenure } = this.#options;
    await running.started;
    const { state } = tenure;
    // Its end is on the way to the log, and gives the lease up.
    if (hasEnded(running.turn.state)) return await running.done;
    try {
      if (state.name !== "self") return;
      running.record.startOver();
      const checkpoint = running.record.next();
      await feed.commit({ epoch: state.epoch, lease: "release", ...(checkpoint && { checkpoint }) });
    } finally {
      // Where the store is out of reach, another worker takes over when the lease runs out.
      if (this.#running === running) this.#release();
    }
  }

  #lose(): void {
    this.#options.tenure.lost();
    this.yield();
    this.#options.onLost();
  }
}

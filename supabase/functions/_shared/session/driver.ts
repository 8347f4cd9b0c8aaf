/**
 * Performs the effects of one session's core, and feeds the results back as events.
 *
 * One event at a time goes through `step`, and its effects are performed in order. Events that come meanwhile are queued.
 */

import { type AgentError, type ErrorCode, toAgentError } from "../errors.ts";
import type { LogWrite } from "../ports/event_log.ts";
import type { ModelReply } from "../ports/model.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { SessionCall } from "../protocol/session_call.ts";
import { isTerminal, type TerminalEvent } from "../protocol/log_event.ts";
import { accountFor, accountForCall, outcomeOf } from "./accounts.ts";
import { Audience } from "./audience.ts";
import type { Effect, ReadPurpose } from "./core/effect.ts";
import type { SessionEvent } from "./core/event.ts";
import type { SessionState } from "./core/state.ts";
import { ToolCalls } from "./tool_calls.ts";
import { step, wakeAt } from "./core/step.ts";
import { type ModelStep, type Question, shownOf } from "./core/turn.ts";
import { withUsage } from "./end_usage.ts";
import type { DriverDeps, DriverSink } from "./driver_deps.ts";
import { ModelCalls } from "./model_calls.ts";
import { expectedTokens, requestFor } from "./model_request.ts";
import { TailSender } from "./tail_sender.ts";
import { tellTakeover } from "./takeover.ts";
import { SessionTimer } from "./wake_times.ts";

/** Events of a page. */
const PAGE = 1000;
/** Reasoning after which its memory is reported, in UTF-16 units. */
const COUNT_EVERY_CHARS = 4096;
const STORING = { operation: "store", sector: "log" } as const;
const FORGETTING = { operation: "delete", sector: "history" } as const;

interface ResultEvents<T> {
  toEvent(result: T): SessionEvent;
  toFailure(code: ErrorCode): SessionEvent;
}

export class SessionDriver {
  /** Changed by {@linkcode take} and by nothing else. */
  readonly state: SessionState;
  readonly audience: Audience;
  readonly #record: SessionRecord;
  readonly #deps: DriverDeps;
  readonly #sink: DriverSink;
  readonly #calls: ModelCalls;
  /** What the session's agent has of its own; undefined if it has nothing. */
  readonly tools: ToolCalls | undefined;
  /** Created when another worker first asks for text. */
  #tail: TailSender | undefined;
  /** Events that came while effects were performed. */
  #waiting: SessionEvent[] | undefined;
  #isStepping = false;
  readonly #timer: SessionTimer;
  /** The last event was text, and the timer counts it in: more text does not change when the session wakes. */
  #isTimerSetForText = false;
  /** The error of the last store call that failed. */
  #failure: AgentError | undefined;
  /** The query whose end this worker writes, if there may be a title to make of it. */
  #answered: Question | undefined;
  /** The token limit of the running answer. */
  #asking = 0;
  /** Reasoning since the memory was last reported, in UTF-16 units. */
  #uncountedChars = 0;

  constructor(
    state: SessionState,
    { record, deps, sink }: { record: SessionRecord; deps: DriverDeps; sink: DriverSink },
  ) {
    this.state = state;
    this.#record = record;
    this.#deps = deps;
    this.#sink = sink;
    this.audience = new Audience({ clock: deps.clock, state, settings: deps.settings });
    this.#calls = new ModelCalls(deps, record, this);
    this.#timer = new SessionTimer(deps.wakeTimes, this);
    const agent = deps.agentOf(record);
    if (agent === undefined) return;
    const { clock, lifetime } = deps;
    this.tools = new ToolCalls({
      agent,
      record,
      clock,
      lifetime,
      state,
      accounts: deps,
      readers: () => this.audience.readers.values(),
      take: (event) => this.take(event),
    });
  }

  /** Handles an event. Never throws. */
  take(event: SessionEvent): void {
    if (this.#isStepping) return void (this.#waiting ??= []).push(event);
    this.#isStepping = true;
    this.#step(event);
    let isText = event.kind === "text";
    for (let next = this.#waiting?.shift(); next !== undefined; next = this.#waiting?.shift()) {
      this.#step(next);
      isText = false;
    }
    this.#isStepping = false;
    if (event.kind === "reasoning") this.#countReasoning(event.text.length);
    // The memory for the text was counted when its model call began.
    else if (event.kind !== "text") this.#sink.onChanged(this.#asking);
    if (!isText || !this.#isTimerSetForText) this.#timer.set(wakeAt(this.state, this.#deps.clock.now()));
    this.#isTimerSetForText = isText;
  }

  /** Reports the memory for reasoning in steps: measuring the session for each piece would cost more than the piece. */
  #countReasoning(chars: number): void {
    this.#uncountedChars += chars;
    if (this.#uncountedChars < COUNT_EVERY_CHARS) return;
    this.#uncountedChars = 0;
    this.#sink.onChanged(this.#asking);
  }

  #step(event: SessionEvent): void {
    const { clock, log } = this.#deps;
    try {
      for (const effect of step(this.state, event, clock.now())) this.#perform(effect);
    } catch (thrown) {
      const error = toAgentError(thrown);
      log.write({ level: "error", event: "session_step_failed", ...this.#ids, step: event.kind, error });
    }
  }

  get #ids(): { session_id: string } {
    return { session_id: this.#record.sessionId };
  }

  #perform(effect: Effect): void {
    const { audience } = this;
    switch (effect.kind) {
      case "delta":
        return audience.showText(effect);
      case "reasoning":
        return audience.showReasoning(effect);
      case "show":
        return audience.show(effect);
      case "acknowledge":
        return audience.acknowledge(effect);
      case "refuse":
        return audience.refuse(effect);
      case "repeat_end":
        return audience.repeatEnd(effect);
      case "close_slow":
        return audience.closeSlow(effect);
      case "replay":
        return this.#replay(effect);
      case "commit":
        return this.#commit(effect.number, effect.write);
      case "read":
        return this.#read(effect.purpose, effect.afterSeq);
      case "recall":
        return this.#recall(effect);
      case "ask":
        return this.#ask(effect);
      case "abort":
        this.#asking = 0;
        return this.#calls.abort(effect.call);
      case "act":
        return this.tools?.run(effect);
      case "abort_acts":
        return this.tools?.abort(effect.callIds);
      case "account_step":
        return this.#calls.stepped(effect.query.turnId);
      case "send":
        return this.#send(effect.call);
      case "answer":
        return this.#sink.onAnswer(effect.wish, effect.result);
      case "account":
        this.#asking = 0;
        if (this.#deps.titles !== undefined) this.#answered = effect.query;
        this.#calls.ended(effect.query.turnId, outcomeOf(effect.end));
        this.tools?.turnEnded(effect);
        return accountFor(effect.query, effect.end, this.#record, this.#deps);
      case "account_call":
        this.#calls.ended(effect.query.turnId, effect.why);
        this.#calls.forget(effect.query.turnId);
        return accountForCall(effect.query, this.#record, this.#deps);
      case "learnt":
        if (isTerminal(effect.event)) {
          audience.endText(effect.event.turnId);
          this.#calls.forget(effect.event.turnId);
          this.tools?.accounts.forget(effect.event.turnId);
          this.#makeTitle(effect.event);
        }
        return this.#sink.onLearnt(effect.event);
      case "taken_over":
        return tellTakeover(effect, this.state, this.#record, this.#deps);
      case "log":
        return this.#logFailure(effect);
      case "gone":
        return this.#sink.onGone();
      case "drained":
        return this.#sink.onDrained();
    }
  }

  /** After the first answer of the conversation, if this worker has written it. */
  #makeTitle(event: TerminalEvent): void {
    const query = this.#answered;
    if (query?.turnId !== event.turnId) return;
    this.#answered = undefined;
    const { exchanges, hasEarlier } = this.state.history;
    if (event.kind !== "response" || exchanges.length !== 1 || hasEarlier) return;
    this.#deps.titles?.answered(this.#record, query, event.content);
  }

  #replay(effect: Extract<Effect, { kind: "replay" }>): void {
    const { connectionId } = effect;
    this.#deps.lifetime.hold(
      this.audience.replay(effect).then((seq) => this.take({ kind: "replayed", connectionId, seq })),
    );
  }

  #commit(number: number, proposed: LogWrite): void {
    const { eventLog, activity, lifetime } = this.#deps;
    const write = withUsage(proposed, (turnId) => this.#calls.usageOf(turnId));
    const append = () => eventLog.commit(this.#record.sessionId, write);
    const [first] = write.events ?? [];
    const { lastSeq } = this.state.log;
    const writing = first === undefined
      ? append()
      : activity.timed(this.#record, first.kind === "cleared" ? FORGETTING : STORING, append);
    lifetime.hold(
      writing.then(
        (answer) => {
          this.tools?.accounts.written(write, answer, lastSeq);
          this.take({ kind: "committed", number, answer });
        },
        (thrown) => {
          const { code } = this.#failure = toAgentError(thrown);
          const isInDoubt = code === "store_unavailable";
          this.take(isInDoubt ? { kind: "in_doubt", number } : { kind: "rejected", number, code });
        },
      ),
    );
  }

  #read(purpose: ReadPurpose, afterSeq: number): void {
    const { eventLog } = this.#deps;
    this.#takeResult(eventLog.read(this.#record.sessionId, { afterSeq, limit: PAGE }), {
      toEvent: (page) => ({ kind: "page", purpose, afterSeq, page }),
      toFailure: (code) => ({ kind: "read_failed", purpose, code }),
    });
  }

  #recall({ beforeSeq, limit }: Extract<Effect, { kind: "recall" }>): void {
    const { eventLog } = this.#deps;
    this.#takeResult(eventLog.readVisible(this.#record.sessionId, { beforeSeq, limit }), {
      toEvent: (page) => ({ kind: "recalled", beforeSeq, page }),
      toFailure: (code) => ({ kind: "recall_failed", beforeSeq, code }),
    });
  }

  #takeResult<T>(reading: Promise<T>, { toEvent, toFailure }: ResultEvents<T>): void {
    this.#deps.lifetime.hold(
      reading.then(
        (result) => this.take(toEvent(result)),
        (thrown) => this.take(toFailure((this.#failure = toAgentError(thrown)).code)),
      ),
    );
  }

  #ask({ call, query, steps, refused, ...asked }: Extract<Effect, { kind: "ask" }>): void {
    const { tools, state: { turns } } = this;
    const { settings } = this.#deps;
    const own = tools === undefined ? settings : tools.settings(settings);
    const maxTokens = this.#asking = expectedTokens({ maxTokens: asked.options.max_tokens ?? own.maxTokens });
    const request = tools === undefined
      ? requestFor(asked, own)
      : tools.requestFor(asked, own, { steps, refused });
    const turn = {
      query,
      get text() {
        const turn = turns.get(query.queryId);
        return turn === undefined ? "" : shownOf(turn);
      },
    };
    const plan = tools && ((reply: ModelReply): Promise<ModelStep | undefined> => tools.plan(reply));
    this.#calls.ask({ number: call, request, maxTokens, plan, turn });
  }

  #send(call: SessionCall): void {
    const { sessionId } = this.#record;
    if (call.kind !== "tail") return this.#deps.call(sessionId, call);
    this.#tail ??= new TailSender(this.state, (source) => this.#deps.offer(sessionId, source));
    this.#tail.send(call);
  }

  #logFailure({ event }: Extract<Effect, { kind: "log" }>): void {
    const level = event === "commit_rejected" ? "error" : "warn";
    this.#deps.log.write({ level, event, ...this.#ids, error: this.#failure });
  }
}

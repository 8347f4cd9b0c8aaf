/** The agent of one session: what its model is asked with, and the tools that it runs. */

import type { LiveToken } from "../guard/identity.ts";
import type { Agent, AgentContext, CallOutcome } from "../ports/agent.ts";
import type { ModelReply, ModelRequest } from "../ports/model.ts";
import type { Clock, WorkerLifetime } from "../ports/runtime.ts";
import type { SessionRecord } from "../ports/session_store.ts";
import type { AccountDeps } from "./accounts.ts";
import { CallAccounts } from "./call_accounts.ts";
import type { Effect } from "./core/effect.ts";
import type { SessionEvent } from "./core/event.ts";
import { emptyMap, type LazyMap, withEntry, withoutEntry } from "./core/lazy_map.ts";
import type { SessionState } from "./core/state.ts";
import { type ModelStep, textOf } from "./core/turn.ts";
import { type Asked, type ModelSettings, requestFor } from "./model_request.ts";
import type { Reader } from "./reader.ts";

type Act = Extract<Effect, { kind: "act" }>;

/** Steps in a row that only called tools wrongly, after which the model is given none. */
const MAX_REFUSED_STEPS = 3;

export interface ToolCallsOptions {
  agent: Agent;
  record: SessionRecord;
  clock: Clock;
  lifetime: WorkerLifetime;
  /** Read, never changed. */
  state: SessionState;
  accounts: AccountDeps;
  /** The connections here, the newest last. */
  readers(): Iterable<Reader>;
  take(event: Extract<SessionEvent, { kind: "acted" }>): void;
}

export class ToolCalls {
  readonly agent: Agent;
  readonly accounts: CallAccounts;
  readonly #options: ToolCallsOptions;
  #running: LazyMap<string, AbortController> = emptyMap();

  constructor(options: ToolCallsOptions) {
    this.agent = options.agent;
    this.#options = options;
    const { record, state, accounts: deps } = options;
    this.accounts = new CallAccounts({ record, state, deps });
  }

  /** The settings with what the agent has of its own. */
  settings<S extends ModelSettings>(settings: S): S {
    const { models, temperature, maxTokens } = this.agent;
    return {
      ...settings,
      ...(models !== undefined && { models }),
      ...(temperature !== undefined && { temperature }),
      ...(maxTokens !== undefined && { maxTokens }),
    };
  }

  /** The request for a step of a turn. `steps`: how many there were; `refused`: how many of the last only called tools wrongly. */
  async requestFor(
    asked: Asked,
    settings: ModelSettings,
    { steps, refused }: { steps: number; refused: number },
  ): Promise<ModelRequest> {
    const context = this.#context();
    const mayCall = this.agent.hasTools && steps + 1 < this.agent.maxSteps && refused < MAX_REFUSED_STEPS;
    const [systemPrompt, tools] = await Promise.all([
      this.agent.instructions(context),
      mayCall ? this.agent.tools(context) : [],
    ]);
    return {
      ...requestFor(asked, { ...settings, ...(systemPrompt !== undefined && { systemPrompt }) }),
      ...(tools.length > 0 && { tools }),
    };
  }

  /** What the calls of a reply are; undefined if it has none. */
  async plan({ calls = [], reasoningDetails }: ModelReply): Promise<ModelStep | undefined> {
    if (calls.length === 0) return undefined;
    const planned = await this.agent.plan(calls, this.#context());
    return { calls: planned, ...(reasoningDetails !== undefined && { reasoningDetails }) };
  }

  run(act: Act): void {
    const { callId } = act;
    const { lifetime, take } = this.#options;
    const controller = new AbortController();
    this.#running = withEntry(this.#running, callId, controller);
    lifetime.hold(
      this.#run(act, controller.signal).then((outcome) => {
        if (!this.#running.has(callId)) return;
        this.#running = withoutEntry(this.#running, callId);
        take({ kind: "acted", callId, outcome });
      }),
    );
  }

  async #run(
    { callId, name, input, isEdited, query: { turnId } }: Act,
    signal: AbortSignal,
  ): Promise<CallOutcome> {
    // Over HTTP nobody has checked it.
    const checked = isEdited ? await this.agent.check(name, input) : { input };
    if ("problem" in checked) return { outcome: "error", output: `The edited input ${checked.problem}.` };
    const live = this.#newest();
    const options = { ...this.#context(live), token: live?.token, signal };
    return await this.agent.run({ callId, name, input: checked.input, turnId }, options);
  }

  abort(callIds: readonly string[]): void {
    for (const callId of callIds) {
      const controller = this.#running.get(callId);
      this.#running = withoutEntry(this.#running, callId);
      controller?.abort();
    }
  }

  turnEnded({ query: { turnId, content }, end }: Extract<Effect, { kind: "account" }>): void {
    const told = { turnId, outcome: end.kind, question: content, answer: textOf(end) };
    this.#options.lifetime.hold(this.agent.turnEnded(told, this.#context()));
  }

  #context(live: LiveToken | undefined = this.#newest()): AgentContext {
    const { record: { sessionId, owner } } = this.#options;
    const id = owner.kind === "user" ? owner.userId : undefined;
    return { sessionId, user: { id, claims: live?.claims } };
  }

  /** The token of the newest connection that has one which has not expired. */
  #newest(): LiveToken | undefined {
    const now = this.#options.clock.now();
    for (const reader of [...this.#options.readers()].reverse()) {
      const token = reader.accessToken(now);
      if (token !== undefined) return token;
    }
    return undefined;
  }
}

/** An agent whose tools a test runs by hand. */

import type {
  Agent,
  AgentContext,
  CallOutcome,
  PlannedCall,
  RunnableCall,
  RunOptions,
  TurnEnd,
} from "../../supabase/functions/_shared/ports/agent.ts";
import type { ModelToolCall, ToolSpec } from "../../supabase/functions/_shared/ports/model.ts";

type Kind = Partial<Pick<PlannedCall, "needs" | "asUser" | "isIdempotent">>;

/** A call that runs until the test ends it. */
export interface ScriptedRun {
  call: RunnableCall;
  options: RunOptions;
  end(outcome: CallOutcome): void;
}

/** Tools by name. Input must be a JSON object. */
export class ScriptedAgent implements Agent {
  readonly name = "test";
  readonly models: readonly string[] | undefined = undefined;
  readonly temperature = undefined;
  readonly maxTokens = undefined;
  readonly maxSteps: number;
  readonly hasTools = true;
  readonly runs: ScriptedRun[] = [];
  readonly ends: TurnEnd[] = [];
  readonly #tools: Readonly<Record<string, Kind>>;

  constructor(tools: Readonly<Record<string, Kind>>, { maxSteps = 10 } = {}) {
    this.#tools = tools;
    this.maxSteps = maxSteps;
  }

  get last(): ScriptedRun {
    const run = this.runs.at(-1);
    if (run === undefined) throw new Error("no tool was run");
    return run;
  }

  instructions({ user }: AgentContext): Promise<string> {
    return Promise.resolve(`You work for ${user.id ?? "a visitor"}.`);
  }

  tools(): Promise<readonly ToolSpec[]> {
    return Promise.resolve(
      Object.keys(this.#tools).map((name) => ({ name, description: name, parameters: { type: "object" } })),
    );
  }

  plan(calls: readonly ModelToolCall[]): Promise<readonly PlannedCall[]> {
    return Promise.resolve(calls.map(({ name, arguments: json }): PlannedCall => {
      const kind = this.#tools[name];
      const { needs = "nothing", asUser = false, isIdempotent = false } = kind ?? {};
      const planned = { name, input: JSON.parse(json), needs, asUser, isIdempotent };
      return kind === undefined ? { ...planned, refusal: `There is no tool "${name}".` } : planned;
    }));
  }

  check(_name: string, input: unknown): Promise<{ input: unknown } | { problem: string }> {
    const isObject = typeof input === "object" && input !== null;
    return Promise.resolve(isObject ? { input } : { problem: "must be an object" });
  }

  clientResult(_name: string, value: unknown): Promise<CallOutcome> {
    return Promise.resolve({ outcome: "ok", output: JSON.stringify(value) });
  }

  run(call: RunnableCall, options: RunOptions): Promise<CallOutcome> {
    const { promise, resolve } = Promise.withResolvers<CallOutcome>();
    this.runs.push({ call, options, end: resolve });
    return promise;
  }

  turnEnded(end: TurnEnd): Promise<void> {
    this.ends.push(end);
    return Promise.resolve();
  }
}

/** The port `Agent` for what the developer has defined. What runs tools is loaded with the first need of one. */

import type {
  Agent,
  AgentContext,
  CallOutcome,
  PlannedCall,
  RunnableCall,
  RunOptions,
  TurnEnd,
} from "../ports/agent.ts";
import { AgentError } from "../errors.ts";
import { OnDemand } from "../on_demand.ts";
import type { ModelToolCall, ToolSpec } from "../ports/model.ts";
import type { ReadyAgent } from "./check.ts";
import { infoOf } from "./session_info.ts";
import type { RunDeps } from "./run_tool.ts";
import type { ToolRunner } from "./tool_runner.ts";

/** Longest time that `instructions` may take, in milliseconds. */
const INSTRUCTIONS_MS = 5000;

export interface DefinedAgentDeps extends RunDeps {
  /** `SYSTEM_PROMPT`. */
  systemPrompt: string;
  /** `MAX_STEPS`. */
  maxSteps: number;
}

export class DefinedAgent implements Agent {
  readonly name: string;
  readonly models: readonly string[] | undefined;
  readonly temperature: number | undefined;
  readonly maxTokens: number | undefined;
  readonly maxSteps: number;
  readonly hasTools: boolean;
  readonly #agent: ReadyAgent;
  readonly #deps: DefinedAgentDeps;
  readonly #runner: OnDemand<ToolRunner>;

  constructor(agent: ReadyAgent, deps: DefinedAgentDeps) {
    const { model, fallbacks = [], temperature, maxTokens, maxSteps = deps.maxSteps, mcp = [] } =
      agent.options;
    this.name = agent.name;
    this.models = model === undefined ? undefined : [...new Set([model, ...fallbacks])];
    this.temperature = temperature;
    this.maxTokens = maxTokens;
    this.maxSteps = maxSteps;
    this.hasTools = agent.tools.size > 0 || mcp.length > 0;
    this.#agent = agent;
    this.#deps = deps;
    this.#runner = new OnDemand(async () => {
      const { ToolRunner } = await import("./tool_runner.ts");
      return await ToolRunner.open(agent, deps);
    });
  }

  /** Rejects if the developer's function throws or hangs: an answer without its instructions would be another agent's. */
  async instructions(context: AgentContext): Promise<string | undefined> {
    const { instructions } = this.#agent.options;
    const given = typeof instructions === "function" ? await this.#ask(instructions, context) : instructions;
    if (!this.hasTools) return given;
    const { TOOLS_NOTE } = await import("./tool_result.ts");
    return `${given ?? this.#deps.systemPrompt}\n\n${TOOLS_NOTE}`;
  }

  async #ask(
    instructions: (info: ReturnType<typeof infoOf>) => string | Promise<string>,
    context: AgentContext,
  ): Promise<string> {
    const { bounded } = await import("./bounded.ts");
    try {
      const bounds = { clock: this.#deps.clock, ms: INSTRUCTIONS_MS };
      const given: unknown = await bounded(bounds, () => instructions(infoOf(context)));
      if (typeof given !== "string") throw new TypeError("instructions must return text");
      return given;
    } catch (cause) {
      throw new AgentError("internal", "Cannot answer: the agent's instructions failed", {
        retryable: true,
        cause,
      });
    }
  }

  async tools(context: AgentContext): Promise<readonly ToolSpec[]> {
    return this.hasTools ? await (await this.#runner.get()).tools(context) : [];
  }

  async plan(calls: readonly ModelToolCall[], context: AgentContext): Promise<readonly PlannedCall[]> {
    return await (await this.#runner.get()).plan(calls, context);
  }

  async check(name: string, input: unknown): Promise<{ input: unknown } | { problem: string }> {
    return await (await this.#runner.get()).check(name, input);
  }

  async run(call: RunnableCall, options: RunOptions): Promise<CallOutcome> {
    return await (await this.#runner.get()).run(call, options);
  }

  /** What a client has answered to a call that it ran, as the model gets it: marked and bounded like other results. */
  async clientResult(name: string, value: unknown): Promise<CallOutcome> {
    const { dataText } = await import("./tool_result.ts");
    return { outcome: "ok", output: dataText(name, value, this.#deps.maxResultChars) };
  }

  async turnEnded(end: TurnEnd, context: AgentContext): Promise<void> {
    const { onTurnEnd } = this.#agent.options;
    if (onTurnEnd === undefined) return;
    const { bounded } = await import("./bounded.ts");
    try {
      await bounded(
        { clock: this.#deps.clock, ms: this.#deps.timeoutMs },
        () => onTurnEnd(end, infoOf(context)),
      );
    } catch (error) {
      this.#deps.log.write({ level: "error", event: "on_turn_end_failed", agent: this.name, error });
    }
  }

  async close(): Promise<void> {
    await this.#runner.loaded?.close();
  }
}

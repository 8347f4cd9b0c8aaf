/** What an agent with tools does with calls: loaded when it is first needed. */

import type { AgentContext, CallOutcome, PlannedCall, RunnableCall, RunOptions } from "../ports/agent.ts";
import type { ModelToolCall, ToolSpec } from "../ports/model.ts";
import { accept, parseArguments, quoted } from "./arguments.ts";
import { bounded } from "./bounded.ts";
import { MAX_TOOLS, type ReadyAgent, type ReadyTool } from "./check.ts";
import { isObject } from "./input_schema.ts";
import type { McpToolServer, OfferedTool, RefusedTool } from "./mcp_port.ts";
import { type RunDeps, runTool } from "./run_tool.ts";
import { infoOf } from "./session_info.ts";
import { errorText, messageOf } from "./tool_result.ts";
import type { BoundCall } from "./tool.ts";

/** Longest time that `approval` may take, in milliseconds. */
const APPROVAL_FUNCTION_MS = 5000;
/** Tools that are named to a model that has called an unknown one. */
const MAX_NAMED_TOOLS = 20;

/** A tool of an MCP server, by the name that the model knows. */
interface Offer {
  server: McpToolServer;
  tool: OfferedTool;
}

export class ToolRunner {
  readonly #agent: ReadyAgent;
  readonly #deps: RunDeps;
  readonly #servers: readonly McpToolServer[];

  private constructor(agent: ReadyAgent, deps: RunDeps, servers: readonly McpToolServer[]) {
    this.#agent = agent;
    this.#deps = deps;
    this.#servers = servers;
  }

  static async open(agent: ReadyAgent, deps: RunDeps): Promise<ToolRunner> {
    const { mcp = [] } = agent.options;
    return new ToolRunner(agent, deps, await Promise.all(mcp.map((server) => server.open(deps))));
  }

  async tools(context: AgentContext): Promise<readonly ToolSpec[]> {
    const own = [...this.#agent.tools.values()].map(({ spec }) => spec);
    const offers = await this.#offers(context);
    return [...own, ...[...offers.values()].map(({ tool }) => tool.spec)];
  }

  async plan(calls: readonly ModelToolCall[], context: AgentContext): Promise<readonly PlannedCall[]> {
    const isOwn = ({ name }: ModelToolCall): boolean => this.#agent.tools.has(name);
    const offers = calls.every(isOwn) ? new Map<string, Offer>() : await this.#offers(context);
    return await Promise.all(calls.map((call) => this.#planOne(call, { context, offers })));
  }

  async check(name: string, input: unknown): Promise<{ input: unknown } | { problem: string }> {
    const own = this.#agent.tools.get(name);
    if (own !== undefined) {
      const accepted = await accept(own.tool, input);
      return "problem" in accepted ? accepted : { input: accepted.input };
    }
    // This worker may not have listed the server's tools. What the input must be is then found out when the call runs.
    if (this.#servers.length === 0) return { problem: `There is no tool named ${quoted(name)}` };
    return isObject(input) ? { input } : { problem: "Cannot accept the input: it must be an object" };
  }

  async run(call: RunnableCall, options: RunOptions): Promise<CallOutcome> {
    const own = this.#agent.tools.get(call.name);
    if (own?.tool.target.kind === "client") return failed(call.name, "a client runs it, not the server");
    if (own !== undefined) return await runTool(own, call, options, this.#deps);
    const offer = (await this.#offers(options)).get(call.name);
    if (offer === undefined) return failed(call.name, "there is no such tool at this moment");
    return await offer.server.call(offer.tool, call, options);
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
  }

  /** The tools of the MCP servers. Names of the developer's tools, and of servers before, are taken. */
  async #offers(context: AgentContext): Promise<ReadonlyMap<string, Offer>> {
    const offers = new Map<string, Offer>();
    if (this.#servers.length === 0) return offers;
    const info = infoOf(context);
    const lists = await Promise.all(
      this.#servers.map(async (server) => ({ server, tools: await server.list(info) })),
    );
    for (const { server, tools } of lists) {
      const refused: RefusedTool[] = [];
      for (const tool of tools) {
        const { name } = tool.spec;
        const isTaken = this.#agent.tools.has(name) || offers.has(name);
        const isFull = this.#agent.tools.size + offers.size >= MAX_TOOLS;
        if (isTaken) refused.push({ name, reason: "another tool has this name" });
        else if (isFull) refused.push({ name, reason: `an agent has at most ${MAX_TOOLS} tools` });
        else offers.set(name, { server, tool });
      }
      if (refused.length > 0) server.refused(refused);
    }
    return offers;
  }

  async #planOne(
    { name, arguments: text }: ModelToolCall,
    { context, offers }: { context: AgentContext; offers: ReadonlyMap<string, Offer> },
  ): Promise<PlannedCall> {
    const read = parseArguments(text);
    const refused = (refusal: string): PlannedCall => ({
      name,
      input: "input" in read ? read.input : null,
      needs: "nothing",
      asUser: false,
      isIdempotent: false,
      refusal,
    });
    const own = this.#agent.tools.get(name);
    const offer = offers.get(name);
    if (own === undefined && offer === undefined) return refused(this.#unknown(name, offers));
    if ("problem" in read) return refused(read.problem);
    if (own === undefined) {
      if (offer === undefined) return refused(this.#unknown(name, offers));
      const problem = offer.tool.problemWith(read.input);
      if (problem !== undefined) return refused(problem);
      const { needsApproval, isIdempotent } = offer.tool;
      const needs = needsApproval ? "approval" : "nothing";
      return { name, input: read.input, needs, asUser: false, isIdempotent };
    }
    const accepted = await accept(own.tool, read.input);
    if ("problem" in accepted) return refused(accepted.problem);
    return {
      name,
      input: accepted.input,
      needs: await this.#needs(own, accepted.bound, context),
      // In an anonymous session there is no user whose token it could wait for.
      asUser: own.tool.target.kind !== "client" && own.acts === "user" && context.user.id !== undefined,
      isIdempotent: own.isIdempotent,
    };
  }

  async #needs(
    { tool, spec }: ReadyTool,
    bound: BoundCall,
    context: AgentContext,
  ): Promise<PlannedCall["needs"]> {
    if (tool.target.kind === "client") return "client";
    try {
      const bounds = { clock: this.#deps.clock, ms: APPROVAL_FUNCTION_MS };
      const answer: unknown = await bounded(bounds, () => bound.needsApproval(infoOf(context)));
      return answer === false ? "nothing" : "approval";
    } catch (thrown) {
      const reason = messageOf(thrown);
      this.#deps.log.write({ level: "error", event: "approval_function_failed", tool: spec.name, reason });
      return "approval";
    }
  }

  #unknown(name: string, offers: ReadonlyMap<string, Offer>): string {
    const names = [...this.#agent.tools.keys(), ...offers.keys()];
    const more = names.length > MAX_NAMED_TOOLS ? `, and ${names.length - MAX_NAMED_TOOLS} more` : "";
    return `There is no tool named ${quoted(name)}. The tools are: ${
      names.slice(0, MAX_NAMED_TOOLS).join(", ")
    }${more}`;
  }
}

function failed(name: string, problem: string): CallOutcome {
  return { outcome: "error", output: errorText(name, problem) };
}

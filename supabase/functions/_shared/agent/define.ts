/** `defineAgent` and `defineAgents`: what the developer writes. It is checked at the first request, by check.ts. */

import type { TurnEnd } from "../ports/agent.ts";
import type { McpDefinition } from "./mcp_port.ts";
import type { AgentInfo } from "./session_info.ts";
import type { Tool } from "./tool.ts";

export interface AgentOptions {
  /** The system prompt. Default: `SYSTEM_PROMPT`. A function that throws fails the turn. */
  instructions?: string | ((info: AgentInfo) => string | Promise<string>);
  /** By name: `[a-zA-Z0-9_-]`, at most 64 characters. */
  tools?: Readonly<Record<string, Tool>>;
  /** MCP servers, made by `mcpServer` of `_shared/agent/mcp.ts`. */
  mcp?: readonly McpDefinition[];
  /** Default: `MODEL`. */
  model?: string;
  /** Models to ask if `model` fails. Needs `model`. Default: none with `model`, otherwise `MODEL_FALLBACKS`. */
  fallbacks?: readonly string[];
  /** 0 to 2. Default: `TEMPERATURE`. */
  temperature?: number;
  /** Longest answer in tokens. Default: `MAX_TOKENS`. */
  maxTokens?: number;
  /** Most calls of the model in a turn. Default: `MAX_STEPS`. */
  maxSteps?: number;
  /** Called when a turn has ended, such as for a webhook. What it throws is logged. */
  onTurnEnd?(end: TurnEnd, info: AgentInfo): unknown;
}

/** The name of the only agent of a deployment. */
export const DEFAULT_AGENT = "default";

/** One agent. */
export interface AgentDefinition {
  readonly kind: "agent";
  readonly options: AgentOptions;
}

/** Several agents, of which a connection chooses one by `?agent=<name>`. */
export interface AgentsDefinition {
  readonly kind: "agents";
  readonly agents: Readonly<Record<string, AgentDefinition>>;
  /** The agent of a connection that names none. */
  readonly defaultName: string;
}

/** Defines an agent. `defineAgent({})` answers with the settings of the environment, and has no tools. */
export function defineAgent(options: AgentOptions): AgentDefinition {
  return { kind: "agent", options };
}

/** Defines several agents by name. A connection that names none gets `default`, which is the first one if it is left out. */
export function defineAgents(
  agents: Readonly<Record<string, AgentDefinition>>,
  options: { default?: string } = {},
): AgentsDefinition {
  return { kind: "agents", agents, defaultName: options.default ?? Object.keys(agents)[0] ?? "" };
}

/** Whether an agent has nothing of its own, and so answers as the environment says. */
export function isPlain({ options }: Pick<AgentDefinition, "options">): boolean {
  return Object.keys(options).length === 0;
}

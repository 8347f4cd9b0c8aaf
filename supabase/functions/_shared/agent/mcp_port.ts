/**
 * MCP servers as the rest of this room sees them. What speaks the protocol is mcp.ts, which only the developer's file imports: a
 * deployment without it does not contain the SDK, of 11 MB.
 */

import type { CallOutcome, RunnableCall, RunOptions } from "../ports/agent.ts";
import type { ToolSpec } from "../ports/model.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import type { AgentInfo } from "./session_info.ts";

/** Between the name of a server and that of its tool. */
export const MCP_SEPARATOR = "__";

/** Tools of a server of the Model Context Protocol, over streamable HTTP. */
export interface McpOptions {
  url: string;
  /** Put before the names of its tools, as in `docs__search`. Default: the names are the server's own. */
  name?: string;
  /** The tools that the agent may use, by the server's names. Default: all. */
  tools?: readonly string[];
  /** Sent with every request, such as a secret from the environment. */
  headers?: HeaderMap | ((info: AgentInfo) => HeaderMap | Promise<HeaderMap>);
  /**
   * Whether a call needs approval. `auto`: unless the server says that the tool is read-only. A server may lie: use `always` for
   * those that you do not trust. Default `auto`.
   */
  approval?: "auto" | "always" | "never";
}

export type HeaderMap = Readonly<Record<string, string>>;

/** A server of an agent, made by `mcpServer({…})`. */
export interface McpDefinition {
  readonly kind: "mcp";
  readonly options: McpOptions;
  /** Loads what speaks to it. Does not connect. */
  open(deps: McpDeps): Promise<McpToolServer>;
}

export interface McpDeps {
  clock: Clock;
  log: Log;
  fetch: typeof fetch;
  /** The longest time of a call, in milliseconds. */
  timeoutMs: number;
  maxResultChars: number;
}

/** A server that is in use. */
export interface McpToolServer {
  /** The tools that the agent may use. Never rejects: a server that does not answer has none. */
  list(info: AgentInfo): Promise<readonly OfferedTool[]>;
  /** Runs a call. Never rejects. */
  call(tool: OfferedTool, call: RunnableCall, options: RunOptions): Promise<CallOutcome>;
  /** Tools that the agent does not get. The log names each once. */
  refused(refused: readonly RefusedTool[]): void;
  close(): Promise<void>;
}

/** A tool that an agent may use. */
export interface OfferedTool {
  /** As the model knows it. */
  spec: ToolSpec;
  /** The server's name for it. */
  serverName: string;
  needsApproval: boolean;
  isIdempotent: boolean;
  /** What is wrong with an input at first sight. The server checks it whole. */
  problemWith(input: Record<string, unknown>): string | undefined;
}

/** A tool that the agent does not get, and why. */
export interface RefusedTool {
  name: string;
  reason: string;
}

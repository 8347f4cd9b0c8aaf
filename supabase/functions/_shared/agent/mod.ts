/** What an agent's file, `agent_websocket/agent.ts`, imports. It loads no package. */

export {
  type AgentDefinition,
  type AgentOptions,
  type AgentsDefinition,
  defineAgent,
  defineAgents,
} from "./define.ts";
export type { InputIssue, InputSchema } from "./input_schema.ts";
export type { HeaderMap, McpDefinition, McpOptions } from "./mcp_port.ts";
export type { AgentInfo, AgentSession, AgentUserInfo } from "./session_info.ts";
export {
  type ActsAs,
  type ApprovalContext,
  type CommonToolOptions,
  functionTool,
  rpcTool,
  type RpcToolOptions,
  type Tool,
  tool,
  type ToolContext,
  type ToolOptions,
} from "./tool.ts";

/** What `agent-websocket-client/tools` exports: everything of `agent-websocket-client`, for agents with tools. */

export * from "./mod.ts";
export type { ToolCall, ToolCallState, ToolDecision } from "./tool_calls.ts";
export {
  type Approval,
  type ToolAnswer,
  ToolClient as AgentClient,
  type ToolClientEvents as ClientEvents,
  type ToolClientOptions as AgentClientOptions,
} from "./tool_client.ts";
export { toUIMessages } from "./tool_messages.ts";
export type { ClientTool, ClientToolOptions, ClientTools } from "./tool_runner.ts";

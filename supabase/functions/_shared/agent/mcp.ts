/** What an agent's file imports for MCP servers. It brings the MCP SDK into the deployment, and loads it with the first need. */

import type { McpDefinition, McpOptions } from "./mcp_port.ts";

/** A server of the Model Context Protocol, for `mcp` of `defineAgent`. */
export function mcpServer(options: McpOptions): McpDefinition {
  return {
    kind: "mcp",
    options,
    async open(deps): ReturnType<McpDefinition["open"]> {
      const { McpServer } = await import("./mcp/mcp_server.ts");
      return new McpServer(options, deps);
    },
  };
}

/** The types of sdk.js. */

type Client = typeof import("@modelcontextprotocol/sdk/client");
type Transports = typeof import("@modelcontextprotocol/sdk/client/streamableHttp");
type Types = typeof import("@modelcontextprotocol/sdk/types");

/** What is used of the MCP SDK. */
export type Sdk =
  & Pick<Client, "Client">
  & Pick<Transports, "StreamableHTTPClientTransport">
  & Pick<Types, "ErrorCode" | "McpError" | "ResultSchema">;

export function loadSdk(): Promise<Sdk>;

// @ts-self-types="./sdk.d.ts"
/**
 * Loads the MCP SDK. In JavaScript, because Deno 2.1.4 does not find the types of the SDK's modules under the names by which it finds
 * their code: sdk.d.ts has the names without ".js".
 */

/** @returns {Promise<import("./sdk.d.ts").Sdk>} */
export async function loadSdk() {
  const { Client } = await import("@modelcontextprotocol/sdk/client");
  const { StreamableHTTPClientTransport } = await import(
    "@modelcontextprotocol/sdk/client/streamableHttp.js"
  );
  const { ErrorCode, McpError, ResultSchema } = await import("@modelcontextprotocol/sdk/types.js");
  return { Client, StreamableHTTPClientTransport, ErrorCode, McpError, ResultSchema };
}

/** MCP servers: the SDK's own, and ones by hand that misbehave. Each is a `fetch`; nothing listens. */

import * as z from "zod";

type Mcp = typeof import("@modelcontextprotocol/sdk/server/mcp");
type Http = typeof import("@modelcontextprotocol/sdk/server/webStandardStreamableHttp");
export type SdkServer = InstanceType<Mcp["McpServer"]>;
type Handler = (request: Request) => Promise<Response>;

export interface ServedSdk {
  /** Takes requests, as its URL would. */
  handle: Handler;
  /** The server of the newest session: its tools may be changed. */
  readonly newest: SdkServer;
  /** Forgets all sessions, as a restart does. */
  restart(): void;
  readonly sessions: number;
}

/** The SDK's server over streamable HTTP, with a session for each client. `addTools` is called for each. */
export async function sdkServer(addTools: (server: SdkServer) => void): Promise<ServedSdk> {
  // Deno finds the types of the SDK's modules without ".js", and their code with it.
  const mcp: Mcp = await import("@modelcontextprotocol/sdk/server/mcp.js");
  const http: Http = await import("@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js");
  const sessions = new Map<string, Handler>();
  const servers: SdkServer[] = [];
  const open = async (): Promise<Handler> => {
    const server = new mcp.McpServer({ name: "test", version: "1.0.0" });
    addTools(server);
    servers.push(server);
    const transport = new http.WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => void sessions.set(id, (request) => transport.handleRequest(request)),
    });
    await server.connect(transport);
    return (request) => transport.handleRequest(request);
  };
  return {
    handle: async (request) => {
      const id = request.headers.get("mcp-session-id");
      if (id === null) return await (await open())(request);
      const session = sessions.get(id);
      return session === undefined
        ? new Response("session not found", { status: 404 })
        : await session(request);
    },
    get newest(): SdkServer {
      const newest = servers.at(-1);
      if (newest === undefined) throw new Error("there is no session");
      return newest;
    },
    restart: () => sessions.clear(),
    get sessions() {
      return servers.length;
    },
  };
}

/** Three tools: one that reads, one that writes, one that fails. */
export function addNotesTools(server: SdkServer): void {
  server.registerTool(
    "search",
    {
      description: "Searches the notes",
      inputSchema: { query: z.string(), limit: z.number().int().optional() },
      annotations: { readOnlyHint: true },
    },
    ({ query }) => ({
      content: [{ type: "text", text: `found ${query}` }, { type: "text", text: "and more" }],
    }),
  );
  server.registerTool("add", {
    description: "Adds a note",
    inputSchema: { text: z.string() },
    outputSchema: { id: z.number() },
  }, () => ({ content: [{ type: "text", text: '{"id":1}' }], structuredContent: { id: 1 } }));
  server.registerTool(
    "fail",
    { description: "Fails", annotations: { idempotentHint: true } },
    () => ({ content: [{ type: "text", text: "the disk is full" }], isError: true }),
  );
}

const message = z.object({
  id: z.number().optional(),
  method: z.string(),
  params: z.record(z.string(), z.unknown()).optional(),
});
export type RpcMessage = z.infer<typeof message>;

/** What a server by hand answers to a request of the protocol: its result, a whole response, or nothing for ever. */
export type HandAnswer = Record<string, unknown> | Response | "silence";

/** A server by hand. `answer` is not asked for what begins a session, unless it wants to be. */
export function handServer(
  answer: (request: RpcMessage, all: Request) => HandAnswer | undefined,
): { handle: Handler; calls: RpcMessage[] } {
  const calls: RpcMessage[] = [];
  return {
    calls,
    handle: async (request) => {
      if (request.method !== "POST") return new Response(null, { status: 405 });
      const call = message.parse(await request.json());
      calls.push(call);
      if (call.id === undefined) return new Response(null, { status: 202 });
      const answered = answer(call, request) ?? initialized(call);
      if (answered === "silence") return await silence(request.signal);
      if (answered instanceof Response) return answered;
      return Response.json({
        jsonrpc: "2.0",
        id: call.id,
        ...("error" in answered ? answered : { result: answered }),
      });
    },
  };
}

function initialized({ method }: RpcMessage): Record<string, unknown> {
  if (method !== "initialize") return { error: { code: -32601, message: "Method not found" } };
  return {
    protocolVersion: "2025-06-18",
    capabilities: { tools: {} },
    serverInfo: { name: "hand", version: "1" },
  };
}

function silence(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  );
}

/** A `fetch` for servers by their host. */
export function fetchOf(servers: Readonly<Record<string, { handle: Handler }>>): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const server = servers[new URL(request.url).host];
    if (server === undefined) throw new TypeError("connection refused");
    const { signal } = request;
    signal.throwIfAborted();
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const response = await Promise.race([server.handle(request), promise]);
    signal.removeEventListener("abort", abort);
    // An aborted request ends its response, and the server sees that.
    const body = response.body?.pipeThrough(new TransformStream(), { signal }) ?? null;
    return new Response(body, response);
  };
}

/** An entry of a server's list. */
export function listed(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { name, description: `does ${name}`, inputSchema: { type: "object", properties: {} }, ...more };
}

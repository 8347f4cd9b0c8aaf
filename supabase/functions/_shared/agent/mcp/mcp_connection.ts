/** A connection to an MCP server, by the official SDK's client over streamable HTTP. The SDK is loaded with the first one. */

import type { Clock } from "../../ports/runtime.ts";
import { settledWithin } from "../../settled_within.ts";
import { VERSION } from "../../version.ts";
import type { HeaderMap } from "../mcp_port.ts";
import { loadSdk, type Sdk } from "./sdk.js";

type Client = InstanceType<Sdk["Client"]>;
type Transport = InstanceType<Sdk["StreamableHTTPClientTransport"]>;

/** Most bytes of one response of a server. A longer one breaks the connection. */
export const MAX_ANSWER_BYTES = 2_097_152;
/** Longer than any call: the caller's clock decides. The SDK has a timer of its own for each request. */
const NO_TIMEOUT_MS = 2_147_483_647;

/** How long a server may take to end a session. */
const GOODBYE_MS = 1000;

export interface ConnectionOptions {
  url: string;
  headers: HeaderMap;
  fetch: typeof fetch;
  /** The server says that its tools have changed. */
  onToolsChanged(): void;
}

/** The server has answered with an error of the protocol: the connection is good. */
export class ServerError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The server does not know the session any more, so it has not done what it was asked for. */
export class SessionLost extends Error {}

interface Parts {
  client: Client;
  transport: Transport;
  sdk: Sdk;
  /** Rejects when a response was too large. */
  broken: Promise<never>;
}

export class McpConnection {
  readonly #client: Client;
  readonly #transport: Transport;
  readonly #sdk: Sdk;
  readonly #broken: Promise<never>;

  private constructor({ client, transport, sdk, broken }: Parts) {
    this.#client = client;
    this.#transport = transport;
    this.#sdk = sdk;
    this.#broken = broken;
  }

  /** Connects. Rejects when `signal` is aborted before that. */
  static async open(options: ConnectionOptions, signal: AbortSignal): Promise<McpConnection> {
    const sdk = await loadSdk();
    const { promise: broken, reject } = Promise.withResolvers<never>();
    broken.catch(() => {});
    const client = new sdk.Client({ name: "agent-websocket", version: VERSION }, {
      // Never called, as answers are read below. The default one would compile the schemas that a server sends.
      jsonSchemaValidator: {
        getValidator: () => () => ({ valid: false, data: undefined, errorMessage: "not checked" }),
      },
    });
    client.fallbackNotificationHandler = ({ method }): Promise<void> => {
      if (method === "notifications/tools/list_changed") options.onToolsChanged();
      return Promise.resolve();
    };
    const transport = new sdk.StreamableHTTPClientTransport(new URL(options.url), {
      requestInit: { headers: { ...options.headers } },
      fetch: limited(options.fetch, reject),
      // Without its stream of notifications a server's list is taken anew after some minutes anyway.
      reconnectionOptions: {
        initialReconnectionDelay: 1000,
        maxReconnectionDelay: 1000,
        reconnectionDelayGrowFactor: 1,
        maxRetries: 0,
      },
    });
    const connection = new McpConnection({ client, transport, sdk, broken });
    try {
      const connecting = (own: AbortSignal): Promise<void> =>
        client.connect(transport, { signal: own, timeout: NO_TIMEOUT_MS });
      await connection.#within(signal, connecting);
    } catch (error) {
      await connection.close();
      throw error;
    }
    return connection;
  }

  /** One page of the server's tools, as it sent it. */
  async listTools(cursor: string | undefined, signal: AbortSignal): Promise<Record<string, unknown>> {
    return await this.#request("tools/list", cursor === undefined ? {} : { cursor }, signal);
  }

  /** The result of a call, as the server sent it. */
  async callTool(
    name: string,
    input: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> {
    return await this.#request("tools/call", { name, arguments: input }, signal);
  }

  /** Says goodbye, so that the server forgets the session, and closes. */
  async end(clock: Pick<Clock, "after">): Promise<void> {
    const goodbye = this.#transport.terminateSession().catch(() => {});
    await settledWithin(clock, GOODBYE_MS, goodbye);
    await this.close();
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    await this.#client.close().catch(() => {});
  }

  #request(
    method: string,
    params: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> {
    const { ResultSchema } = this.#sdk;
    return this.#within(
      signal,
      (own) =>
        this.#client.request({ method, params }, ResultSchema, { signal: own, timeout: NO_TIMEOUT_MS }),
    );
  }

  /** The signal that the SDK gets is aborted during the request only: aborted later, it would still send a cancellation. */
  async #within<T>(signal: AbortSignal, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const own = new AbortController();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => {
      reject(signal.reason);
      own.abort(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([send(own.signal), this.#broken, aborted]);
    } catch (error) {
      throw this.#read(error);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** The SDK's errors as ours. */
  #read(error: unknown): unknown {
    const { ErrorCode, McpError } = this.#sdk;
    if (error instanceof McpError) {
      const isLocal = error.code === ErrorCode.RequestTimeout || error.code === ErrorCode.ConnectionClosed;
      return isLocal ? new Error(error.message) : new ServerError(error.code, error.message);
    }
    const status = error instanceof Error && "code" in error ? error.code : undefined;
    if (status === 404 && this.#transport.sessionId !== undefined) return new SessionLost();
    return typeof status === "number" && status > 0 ? new Error(`the server answered HTTP ${status}`) : error;
  }
}

/** A `fetch` whose responses have a bounded body. */
function limited(fetch: typeof globalThis.fetch, onTooLarge: (error: Error) => void): typeof fetch {
  return async (input, init) => {
    const { body, status, statusText, headers } = await fetch(input, init);
    let bytes = 0;
    const counted = new TransformStream({
      transform(chunk: Uint8Array, controller): void {
        bytes += chunk.byteLength;
        if (bytes <= MAX_ANSWER_BYTES) return controller.enqueue(chunk);
        const error = new Error(`the server answered with more than ${MAX_ANSWER_BYTES} bytes`);
        controller.error(error);
        // Nothing waits for the stream of notifications.
        if (init?.method !== "GET") onTooLarge(error);
      },
    });
    const bounded = body?.pipeThrough(counted);
    return new Response(bounded ?? null, { status, statusText, headers });
  };
}

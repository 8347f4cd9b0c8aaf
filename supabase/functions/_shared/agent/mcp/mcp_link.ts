/** A server with the headers of one kind of caller: its connection, and its tools as last listed. */

import type { CancelTimer, Clock } from "../../ports/runtime.ts";
import { bounded } from "../bounded.ts";
import type { HeaderMap, McpOptions, OfferedTool, RefusedTool } from "../mcp_port.ts";
import { readTool } from "./listed_tool.ts";
import { McpConnection, ServerError, SessionLost } from "./mcp_connection.ts";

/** How long a list is used, and an idle connection is kept, in milliseconds. */
export const LIST_MS = 300_000;
/** How long a server that has failed is not asked again. */
export const RETRY_MS = 30_000;
/** Longest time for a list. */
export const LIST_TIMEOUT_MS = 5000;
const MAX_PAGES = 20;
/** Most tools of one server that are read, allowed or not. */
const MAX_LISTED = 1000;

export interface McpLinkOptions {
  server: McpOptions;
  headers: HeaderMap;
  clock: Clock;
  fetch: typeof fetch;
  /** The list could not be taken. */
  onFailed(error: unknown): void;
  /** Tools that the agent does not get. */
  onRefused(refused: readonly RefusedTool[]): void;
}

export class McpLink {
  readonly #options: McpLinkOptions;
  #connection: Promise<McpConnection> | undefined;
  #tools: readonly OfferedTool[] = [];
  /** When the list is to be taken again. */
  #listAt = 0;
  #listing: Promise<void> | undefined;
  /** Grows when the server says that its tools have changed: a list that was under way then is old. */
  #generation = 0;
  #usedAt = 0;
  #idleTimer: CancelTimer | undefined;

  constructor(options: McpLinkOptions) {
    this.#options = options;
  }

  get usedAt(): number {
    return this.#usedAt;
  }

  /** The tools, listed anew where that is due. Never rejects: after a failure it has those of the list before. */
  async list(): Promise<readonly OfferedTool[]> {
    this.#usedAt = this.#options.clock.now();
    if (this.#usedAt >= this.#listAt) {
      await (this.#listing ??= this.#refresh().finally(() => this.#listing = undefined));
    }
    return this.#tools;
  }

  /** The list is taken again when it is next needed. */
  forget(): void {
    this.#generation++;
    this.#listAt = 0;
  }

  /** The server's result of a call. Rejects where there is none. */
  async call(
    { serverName }: OfferedTool,
    input: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> {
    const send = (connection: McpConnection): Promise<Record<string, unknown>> =>
      connection.callTool(serverName, input, signal);
    try {
      return await this.#with(send, signal);
    } catch (error) {
      // The server has restarted, and has not looked at the call.
      if (error instanceof SessionLost) return await this.#with(send, signal);
      // Invalid parameters, or an unknown method: the tool may be another one now.
      if (error instanceof ServerError && (error.code === -32602 || error.code === -32601)) this.forget();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#idleTimer?.();
    this.#idleTimer = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    await (await connection?.catch(() => undefined))?.end(this.#options.clock);
  }

  async #refresh(): Promise<void> {
    const { clock, onFailed, onRefused } = this.#options;
    const generation = this.#generation;
    try {
      const listed = await bounded({ clock, ms: LIST_TIMEOUT_MS }, (signal) => this.#listOnce(signal));
      this.#tools = listed.tools;
      this.#listAt = generation === this.#generation ? clock.now() + LIST_MS : 0;
      if (listed.refused.length > 0) onRefused(listed.refused);
    } catch (error) {
      this.#listAt = clock.now() + RETRY_MS;
      onFailed(error);
    }
  }

  async #listOnce(signal: AbortSignal): Promise<{ tools: OfferedTool[]; refused: RefusedTool[] }> {
    const entries = await this.#with((connection) => entriesOf(connection, signal), signal)
      .catch((error: unknown) => {
        if (error instanceof SessionLost) return this.#with((again) => entriesOf(again, signal), signal);
        throw error;
      });
    const tools = new Map<string, OfferedTool>();
    const refused: RefusedTool[] = [];
    for (const entry of entries) {
      const tool = readTool(entry, this.#options.server);
      if (tool === undefined) continue;
      if ("reason" in tool) refused.push(tool);
      else if (tools.has(tool.spec.name)) {
        refused.push({ name: tool.spec.name, reason: "it is listed twice" });
      } else tools.set(tool.spec.name, tool);
    }
    return { tools: [...tools.values()], refused };
  }

  /** Does something over the connection, which is made if there is none. One that has failed is not used again. */
  async #with<T>(act: (connection: McpConnection) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#used();
    const connecting = this.#connection ??= this.#open();
    try {
      const connection = await untilAborted(connecting, signal);
      return await act(connection);
    } catch (error) {
      if (!(error instanceof ServerError)) this.#drop(connecting);
      throw error;
    } finally {
      this.#used();
    }
  }

  #open(): Promise<McpConnection> {
    const { server: { url }, headers, fetch, clock } = this.#options;
    const options = { url, headers, fetch, onToolsChanged: (): void => this.forget() };
    const opening = bounded({ clock, ms: LIST_TIMEOUT_MS }, (signal) => McpConnection.open(options, signal));
    opening.catch(() => this.#drop(opening));
    return opening;
  }

  #drop(connection: Promise<McpConnection>): void {
    if (this.#connection === connection) this.#connection = undefined;
    void connection.then((one) => one.close(), () => {});
  }

  #used(): void {
    const { clock } = this.#options;
    this.#usedAt = clock.now();
    this.#idleTimer ??= clock.after(LIST_MS, () => this.#checkIdle());
  }

  #checkIdle(): void {
    const { clock } = this.#options;
    this.#idleTimer = undefined;
    const leftMs = this.#usedAt + LIST_MS - clock.now();
    if (leftMs > 0) this.#idleTimer = clock.after(leftMs, () => this.#checkIdle());
    else void this.close();
  }
}

async function entriesOf(connection: McpConnection, signal: AbortSignal): Promise<unknown[]> {
  const entries: unknown[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES && entries.length < MAX_LISTED; page++) {
    const { tools, nextCursor } = await connection.listTools(cursor, signal);
    if (!Array.isArray(tools)) throw new Error("the server answered without a list of tools");
    entries.push(...tools.slice(0, MAX_LISTED - entries.length));
    if (typeof nextCursor !== "string" || nextCursor === "") break;
    cursor = nextCursor;
  }
  return entries;
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

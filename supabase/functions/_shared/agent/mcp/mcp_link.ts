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

/** All callers of a link share its connection. */
interface Shared {
  connection: Promise<McpConnection>;
  /** Requests under way. */
  uses: number;
  /** What is done when the last of them has ended; undefined while the connection is used for new ones. */
  finish: ((connection: McpConnection) => Promise<void>) | undefined;
}

export class McpLink {
  readonly #options: McpLinkOptions;
  #shared: Shared | undefined;
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

  /** Resolves when the connection has ended. If it is in use, it ends after that, and this resolves at once. */
  async close(): Promise<void> {
    this.#idleTimer?.();
    this.#idleTimer = undefined;
    if (this.#shared !== undefined) await this.#retire(this.#shared, (one) => one.end(this.#options.clock));
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

  /**
   * Does something over the connection, which is made if there is none. One that has failed is not used again, but what others do over
   * it goes on: a caller who has given up must not end their calls.
   */
  async #with<T>(act: (connection: McpConnection) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#used();
    const shared = this.#shared ??= this.#open();
    shared.uses++;
    try {
      const connection = await untilAborted(shared.connection, signal);
      return await act(connection);
    } catch (error) {
      if (!(error instanceof ServerError)) void this.#retire(shared, (one) => one.close());
      throw error;
    } finally {
      shared.uses--;
      void finishUnused(shared);
      this.#used();
    }
  }

  #open(): Shared {
    const { server: { url }, headers, fetch, clock } = this.#options;
    const options = { url, headers, fetch, onToolsChanged: (): void => this.forget() };
    const connection = bounded(
      { clock, ms: LIST_TIMEOUT_MS },
      (signal) => McpConnection.open(options, signal),
    );
    const shared: Shared = { connection, uses: 0, finish: undefined };
    connection.catch(() => this.#retire(shared, (one) => one.close()));
    return shared;
  }

  #retire(shared: Shared, finish: (connection: McpConnection) => Promise<void>): Promise<void> {
    if (this.#shared === shared) this.#shared = undefined;
    shared.finish ??= finish;
    return finishUnused(shared);
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

async function finishUnused(shared: Shared): Promise<void> {
  const { connection, uses, finish } = shared;
  if (uses > 0 || finish === undefined) return;
  shared.finish = () => Promise.resolve();
  await connection.then(finish, () => {});
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

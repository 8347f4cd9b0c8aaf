/** An MCP server of an agent. */

import type { CallOutcome, RunnableCall, RunOptions } from "../../ports/agent.ts";
import { bounded, GivenUp } from "../bounded.ts";
import { isObject } from "../input_schema.ts";
import type { HeaderMap, McpDeps, McpOptions, McpToolServer, OfferedTool, RefusedTool } from "../mcp_port.ts";
import { type AgentInfo, infoOf } from "../session_info.ts";
import { dataText, errorText, messageOf, withoutSecrets } from "../tool_result.ts";
import { readResult } from "./call_result.ts";
import { LIST_TIMEOUT_MS, McpLink } from "./mcp_link.ts";

/** Most kinds of callers, by their headers, that a worker keeps a connection for. */
const MAX_LINKS = 20;
const MAX_NAMED_TOOLS = 10;
const MAX_REMEMBERED_TOOLS = 10_000;
/** Shorter values of headers are no secrets, and masking them would garble the text. */
const MIN_SECRET_CHARS = 8;

export class McpServer implements McpToolServer {
  readonly #options: McpOptions;
  readonly #deps: McpDeps;
  /** By the headers. */
  readonly #links = new Map<string, McpLink>();
  /** Tools that the log has named, so that it names each once. */
  readonly #named = new Set<string>();

  constructor(options: McpOptions, deps: McpDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async list(info: AgentInfo): Promise<readonly OfferedTool[]> {
    try {
      return await this.#link(await this.#headers(info)).list();
    } catch (error) {
      this.#failed(error, []);
      return [];
    }
  }

  async call(tool: OfferedTool, { name, input }: RunnableCall, options: RunOptions): Promise<CallOutcome> {
    const { clock, timeoutMs, maxResultChars } = this.#deps;
    let secrets: readonly string[] = [];
    try {
      if (!isObject(input)) throw new Error("the input must be an object");
      const headers = await this.#headers(infoOf(options));
      secrets = secretsIn(headers);
      const link = this.#link(headers);
      const bounds = { clock, ms: timeoutMs, signal: options.signal };
      const result = readResult(await bounded(bounds, (signal) => link.call(tool, input, signal)));
      if ("data" in result) {
        const output = withoutSecrets(dataText(name, result.data, maxResultChars), secrets);
        return { outcome: "ok", output };
      }
      // The SDK's servers say so in a result.
      if (/\b(unknown tool|tool\b.{0,200}\bnot found)\b/i.test(result.problem)) link.forget();
      return { outcome: "error", output: errorText(name, messageOf(result.problem, secrets)) };
    } catch (thrown) {
      const problem = messageOf(thrown, secrets);
      const told = thrown instanceof GivenUp ? `${problem}. It may have taken effect` : problem;
      return { outcome: "error", output: errorText(name, told) };
    }
  }

  refused(refused: readonly RefusedTool[]): void {
    const tools = refused.filter(({ name }) => !this.#named.has(name));
    if (tools.length === 0) return;
    // A server may make up new names for ever.
    if (this.#named.size > MAX_REMEMBERED_TOOLS) this.#named.clear();
    for (const { name } of tools) this.#named.add(name);
    this.#deps.log.write({
      level: "warn",
      event: "mcp_tools_refused",
      server: this.#host,
      count: tools.length,
      tools: tools.slice(0, MAX_NAMED_TOOLS).map(({ name, reason }) => `${name}: ${reason}`),
    });
  }

  async close(): Promise<void> {
    const links = [...this.#links.values()];
    this.#links.clear();
    await Promise.all(links.map((link) => link.close()));
  }

  async #headers(info: AgentInfo): Promise<HeaderMap> {
    const { headers = {} } = this.#options;
    if (typeof headers !== "function") return headers;
    return await bounded({ clock: this.#deps.clock, ms: LIST_TIMEOUT_MS }, () => headers(info));
  }

  #link(headers: HeaderMap): McpLink {
    const key = JSON.stringify(Object.entries(headers).sort(([a], [b]) => a < b ? -1 : 1));
    const known = this.#links.get(key);
    if (known !== undefined) return known;
    const { clock, fetch } = this.#deps;
    const link = new McpLink({
      server: this.#options,
      headers,
      clock,
      fetch,
      onFailed: (error) => this.#failed(error, secretsIn(headers)),
      onRefused: (refused) => this.refused(refused),
    });
    if (this.#links.size >= MAX_LINKS) this.#evictOldest();
    this.#links.set(key, link);
    return link;
  }

  #evictOldest(): void {
    const [oldest] = [...this.#links].sort(([, one], [, other]) => one.usedAt - other.usedAt);
    if (oldest === undefined) return;
    this.#links.delete(oldest[0]);
    void oldest[1].close();
  }

  #failed(error: unknown, secrets: readonly string[]): void {
    const reason = messageOf(error, secrets);
    this.#deps.log.write({ level: "warn", event: "mcp_server_failed", server: this.#host, reason });
  }

  /** The path and the query of a URL may have a key. */
  get #host(): string {
    return new URL(this.#options.url).host;
  }
}

function secretsIn(headers: HeaderMap): readonly string[] {
  return Object.values(headers).filter((value) => value.length >= MIN_SECRET_CHARS);
}

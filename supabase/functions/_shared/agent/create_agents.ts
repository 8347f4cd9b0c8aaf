/** Makes the agents of a deployment from the developer's file. */

import { type Config, ConfigError } from "../config.ts";
import type { Clock, Log } from "../ports/runtime.ts";
import { checkAgents } from "./check.ts";
import type { Agent } from "../ports/agent.ts";
import { isPlain } from "./define.ts";
import { DefinedAgent } from "./defined_agent.ts";

export interface AgentsDeps {
  config: Pick<
    Config,
    | "MAX_STEPS"
    | "MAX_TOOL_RESULT_CHARS"
    | "MODEL_DIALECT"
    | "OPENROUTER_BASE_URL"
    | "SUPABASE_URL"
    | "SYSTEM_PROMPT"
    | "TOOL_TIMEOUT_MS"
    | "publishableKeys"
    | "secretKeys"
  >;
  clock: Clock;
  log: Log;
  fetch: typeof fetch;
  /** Loads supabase-js. Default: a dynamic import. */
  loadSupabase?(): Promise<Pick<typeof import("@supabase/supabase-js"), "createClient">>;
}

/** The agents of a deployment. */
export interface Agents {
  /** The agent of that name, or the default one; undefined if there is none of that name. */
  (name?: string): DefinedAgent | undefined;
  /** The same; undefined also for an agent that has nothing of its own, and so answers as the environment says. */
  withOptions(name?: string): Agent | undefined;
  /** Ends the connections to MCP servers. */
  close(): Promise<void>;
}

/**
 * `definition` is what the developer's file exports.
 * Throws {@linkcode ConfigError} that names every mistake in it.
 */
export function createAgents(definition: unknown, deps: AgentsDeps): Agents {
  const { config, loadSupabase = () => import("@supabase/supabase-js") } = deps;
  const { agents, defaultName, problems } = checkAgents(definition, config);
  if (problems.length > 0) throw new ConfigError(problems);
  const [publishableKey] = config.publishableKeys;
  const [secretKey] = config.secretKeys;
  const made = new Map([...agents].map(([name, agent]) => [
    name,
    new DefinedAgent(agent, {
      clock: deps.clock,
      log: deps.log,
      fetch: deps.fetch,
      loadSupabase,
      project: { supabaseUrl: config.SUPABASE_URL, publishableKey, secretKey },
      timeoutMs: config.TOOL_TIMEOUT_MS,
      maxResultChars: config.MAX_TOOL_RESULT_CHARS,
      systemPrompt: config.SYSTEM_PROMPT,
      maxSteps: config.MAX_STEPS,
    }),
  ]));
  const find = (name = defaultName): DefinedAgent | undefined => made.get(name);
  return Object.assign(find, {
    withOptions(name = defaultName): Agent | undefined {
      const agent = agents.get(name);
      return agent === undefined || isPlain(agent) ? undefined : made.get(name);
    },
    close: async () => void await Promise.all([...made.values()].map((agent) => agent.close())),
  });
}

/** The agents of the deployment, from the developer's file. One that has nothing of its own loads none of the code for agents. */

import type { Agents, AgentsDeps } from "../_shared/agent/create_agents.ts";
import { DEFAULT_AGENT, isPlain } from "../_shared/agent/define.ts";
import definition from "./agent.ts";

type KnownAgents = Pick<Agents, "withOptions" | "close"> & { has(name: string): boolean };

const needsNothing = definition?.kind === "agent" && isPlain(definition);
const create = needsNothing ? undefined : (await import("../_shared/agent/create_agents.ts")).createAgents;

/** Throws {@linkcode ConfigError} that names every mistake in the file. */
export function createAgents(deps: AgentsDeps): KnownAgents {
  if (create === undefined) {
    return {
      has: (name) => name === DEFAULT_AGENT,
      withOptions: () => undefined,
      close: () => Promise.resolve(),
    };
  }
  const agents = create(definition, deps);
  return {
    has: (name) => agents(name) !== undefined,
    withOptions: (name) => agents.withOptions(name),
    close: () => agents.close(),
  };
}

/** The agents of the deployment, from the developer's file. One that has nothing of its own loads none of the code for agents. */

import type { Agents, AgentsDeps } from "../_shared/agent/create_agents.ts";
import definition from "./agent.ts";

/** The agent of a file with one agent. */
const ONLY = "default";

type KnownAgents = Pick<Agents, "withOptions" | "close"> & { has(name: string): boolean };

const isPlain = definition?.kind === "agent" && Object.keys(definition.options).length === 0;
const create = isPlain ? undefined : (await import("../_shared/agent/create_agents.ts")).createAgents;

/** Throws {@linkcode ConfigError} that names every mistake in the file. */
export function createAgents(deps: AgentsDeps): KnownAgents {
  if (create === undefined) {
    return { has: (name) => name === ONLY, withOptions: () => undefined, close: () => Promise.resolve() };
  }
  const agents = create(definition, deps);
  return {
    has: (name) => agents(name) !== undefined,
    withOptions: (name) => agents.withOptions(name),
    close: () => agents.close(),
  };
}

/** An agent as a deployment makes it from its file, with time, network and settings from the test. */

import { parseConfig } from "../../supabase/functions/_shared/config.ts";
import { type Agents, createAgents } from "../../supabase/functions/_shared/agent/create_agents.ts";
import type { DefinedAgent } from "../../supabase/functions/_shared/agent/defined_agent.ts";
import { type AgentOptions, defineAgent } from "../../supabase/functions/_shared/agent/mod.ts";
import type {
  AgentContext,
  CallOutcome,
  RunnableCall,
  RunOptions,
} from "../../supabase/functions/_shared/ports/agent.ts";
import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";
import { ManualClock } from "./manual_clock.ts";
import { RecordingLog } from "./recording_log.ts";

export const PROJECT_ENV = {
  OPENROUTER_API_KEY: "sk-or-1",
  SUPABASE_URL: "http://project",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_1"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_very_secret"}',
};

export const USER_ID = "11111111-1111-4111-8111-111111111111";
export const SESSION_ID = "33333333-3333-4333-8333-333333333333";
export const ANONYMOUS: AgentContext = { user: { id: undefined, claims: undefined }, sessionId: SESSION_ID };
export const ADA: AgentContext = {
  user: { id: USER_ID, claims: { email: "ada@example.com", app_metadata: { role: "support" } } },
  sessionId: SESSION_ID,
};

export interface TestAgentOptions {
  env?: Record<string, string>;
  clock?: Clock;
  fetch?: typeof fetch;
}

export interface TestAgent {
  agents: Agents;
  agent: DefinedAgent;
  log: RecordingLog;
  run(name: string, input: unknown, options?: Partial<RunOptions & RunnableCall>): Promise<CallOutcome>;
}

/** A `fetch` that must not be called. */
export const noFetch: typeof fetch = (input) => Promise.reject(new Error(`unexpected request: ${input}`));

export function testAgents(
  definition: unknown,
  options: TestAgentOptions = {},
): { agents: Agents; log: RecordingLog } {
  const { env = {}, clock = new ManualClock(), fetch = noFetch } = options;
  const log = new RecordingLog();
  return {
    agents: createAgents(definition, { config: parseConfig({ ...PROJECT_ENV, ...env }), clock, log, fetch }),
    log,
  };
}

/** The agent of a deployment with one. */
export function testAgent(definition: AgentOptions, options: TestAgentOptions = {}): TestAgent {
  const { agents, log } = testAgents(defineAgent(definition), options);
  const agent = agents();
  if (agent === undefined) throw new Error("there is no agent");
  return {
    agents,
    agent,
    log,
    run: (name, input, { callId = "call-1", turnId = "turn-1", ...rest } = {}) =>
      agent.run(
        { name, input, callId, turnId },
        { ...ADA, token: "token-of-ada", signal: new AbortController().signal, ...rest },
      ),
  };
}

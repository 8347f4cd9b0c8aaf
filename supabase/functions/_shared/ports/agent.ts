/** The agent that answers: what it is told, and the tools that it has. */

import type { CallNeeds } from "../protocol/tool_events.ts";
import type { ModelToolCall, ToolSpec } from "./model.ts";

/** Whose turn it is, as far as it is known. */
export interface AgentUser {
  /** The `sub` of the user's token; undefined for an anonymous session. */
  id: string | undefined;
  /** The claims of the token of a live connection; undefined while the user has none at this worker. */
  claims: Readonly<Record<string, unknown>> | undefined;
}

/** The session and the user that an agent works for. */
export interface AgentContext {
  user: AgentUser;
  sessionId: string;
}

/** A call that the agent has looked at. */
export interface PlannedCall {
  name: string;
  /** The checked input: a JSON value. */
  input: unknown;
  needs: CallNeeds;
  /** Whether it needs the token of a live connection of the user. */
  asUser: boolean;
  /** Whether it may run again under the same key. */
  isIdempotent: boolean;
  /** Set if it must not run: what the model is told, such as that there is no such tool, or what of its input is wrong. */
  refusal?: string;
}

/** A call that is about to run. */
export interface RunnableCall {
  /** The same whenever the call runs again, and no other call's: a tool's idempotency key. */
  callId: string;
  name: string;
  /** Checked, and perhaps edited by the person who has approved it. */
  input: unknown;
  turnId: string;
}

/** With whose rights a call runs, and until when. */
export interface RunOptions extends AgentContext {
  /** The newest access token of a live connection of the user, which has not expired; undefined if there is none. */
  token: string | undefined;
  /** Aborted when the turn is stopped, and when the worker no longer owns it. */
  signal: AbortSignal;
}

/** How a call ended. `output` is for the model: JSON, or an explanation of the error; bounded in size. */
export interface CallOutcome {
  outcome: "ok" | "error";
  output: string;
}

/** One agent of a deployment. */
export interface Agent {
  readonly name: string;
  /** The system prompt; undefined for the one of the environment. */
  instructions(context: AgentContext): Promise<string | undefined>;
  /** The models to ask, instead of those of the environment. */
  readonly models: readonly string[] | undefined;
  readonly temperature: number | undefined;
  readonly maxTokens: number | undefined;
  /** Model calls of a turn; the last one is given no tools. */
  readonly maxSteps: number;
  /** Whether it has any tool: without one it costs nothing. */
  readonly hasTools: boolean;
  /** The tools, those of MCP servers included. A server that does not answer has none. Never rejects. */
  tools(context: AgentContext): Promise<readonly ToolSpec[]>;
  /** Looks at the calls of a reply: one for each, in order. Never rejects. */
  plan(calls: readonly ModelToolCall[], context: AgentContext): Promise<readonly PlannedCall[]>;
  /** Checks an input that a person has edited. */
  check(name: string, input: unknown): Promise<{ input: unknown } | { problem: string }>;
  /** What a client has answered to a call that it ran, as the model gets it. Never rejects. */
  clientResult(name: string, value: unknown): Promise<CallOutcome>;
  /** Runs a call. Never rejects: what goes wrong is an outcome. */
  run(call: RunnableCall, options: RunOptions): Promise<CallOutcome>;
  /** Called when a turn has ended at this worker. Never rejects. */
  turnEnded(end: TurnEnd, context: AgentContext): Promise<void>;
}

/** How a turn ended. */
export interface TurnEnd {
  turnId: string;
  outcome: "response" | "error" | "cancelled";
  /** The question and the answer as far as it came. */
  question: string;
  answer: string;
}

/** What the developer's functions learn of the user and the session. */

import type { AgentContext } from "../ports/agent.ts";

/** A signed-in user. */
export interface AgentUserInfo {
  readonly id: string;
  /** From the token, like `role`; undefined while no connection of the user is at this worker. */
  readonly email: string | undefined;
  /** `app_metadata.role` of the token, which users cannot change themselves. */
  readonly role: string | undefined;
  /** All claims of the token. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}

export interface AgentSession {
  readonly id: string;
}

/** What `instructions`, `onTurnEnd` and the headers of an MCP server are given. */
export interface AgentInfo {
  /** Undefined in an anonymous session. */
  readonly user: AgentUserInfo | undefined;
  readonly session: AgentSession;
}

export function infoOf({ user: { id, claims }, sessionId }: AgentContext): AgentInfo {
  const metadata = claims?.app_metadata;
  const role = typeof metadata === "object" && metadata !== null && "role" in metadata
    ? metadata.role
    : undefined;
  return {
    user: id === undefined ? undefined : { id, email: text(claims?.email), role: text(role), claims },
    session: { id: sessionId },
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

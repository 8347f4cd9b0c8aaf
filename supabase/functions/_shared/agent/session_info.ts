/** What the developer's functions learn of the user and the session. */

import type { AgentContext } from "../ports/agent.ts";
import { appRoleOf } from "../token_claims.ts";

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
  return {
    user: id === undefined ? undefined : { id, email: text(claims?.email), role: appRoleOf(claims), claims },
    session: { id: sessionId },
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

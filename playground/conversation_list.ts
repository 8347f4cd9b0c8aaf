/** Where the list of conversations comes from: the server for a signed-in user, this browser for everybody else. */

import type { AgentClient } from "../client/mod.ts";
import type { ConversationRow, RememberedConversations } from "./remembered.ts";

export interface ListRequest {
  search: string;
  archived: boolean;
  limit: number;
  /** For the next page: the last page's `before`. */
  before?: string | undefined;
}

export interface ConversationPage {
  /** Most recently active first. */
  rows: ConversationRow[];
  /** Undefined on the last page. */
  before?: string | undefined;
}

/** The conversations of the signed-in user. Rejects as {@linkcode AgentClient.command} does. */
export async function listOfUser(
  client: AgentClient,
  { search, archived, limit, before }: ListRequest,
): Promise<ConversationPage> {
  const { data } = await client.command("sessions", {
    limit,
    archived,
    ...(search !== "" && { search }),
    ...(before !== undefined && { before }),
  });
  return { rows: rowsIn(data?.sessions), before: data?.before as string | undefined };
}

/** The conversations that this browser remembers, with what the server knows about the open one. */
export async function listOfBrowser(
  client: AgentClient,
  { search }: ListRequest,
  { remembered, resumeToken }: { remembered: RememberedConversations; resumeToken: string | undefined },
): Promise<ConversationPage> {
  const { data } = await client.command("sessions", {});
  const [current] = rowsIn(data?.sessions);
  // A conversation without a question is not worth remembering.
  if (current !== undefined && current.title !== "" && resumeToken !== undefined) {
    remembered.keep(current, resumeToken);
  }
  const found = remembered.list(search);
  if (current === undefined) return { rows: found };
  const rows = found.map((row) => row.session_id === current.session_id ? current : row);
  return { rows: search !== "" || rows.includes(current) ? rows : [current, ...rows] };
}

function rowsIn(sessions: unknown): ConversationRow[] {
  return Array.isArray(sessions) ? sessions : [];
}

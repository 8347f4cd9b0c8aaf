/** The list of an anonymous visitor's conversations. That of a user is `client.sessions`. */

import type { AgentClient, Conversation } from "../client/mod.ts";
import type { RememberedConversations } from "./remembered.ts";

/**
 * The conversations that this browser remembers, with what the server knows about the open one. Rejects as
 * {@linkcode AgentClient.sessions} does.
 */
export async function listOfBrowser(
  client: AgentClient,
  search: string,
  { remembered, resumeToken }: { remembered: RememberedConversations; resumeToken: string | undefined },
): Promise<Conversation[]> {
  const [current] = await client.sessions();
  // A conversation without a question is not worth remembering.
  if (current !== undefined && current.title !== "" && resumeToken !== undefined) {
    remembered.keep(current, resumeToken);
  }
  const found = remembered.list(search);
  if (current === undefined) return found;
  const rows = found.map((row) => row.session_id === current.session_id ? current : row);
  return search !== "" || rows.includes(current) ? rows : [current, ...rows];
}

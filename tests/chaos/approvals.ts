/** Decides about a tool call over HTTP, as another function of the project does, or a person. */

import type { DecisionRecord } from "./tool_records.ts";
import type { World } from "./world.ts";

interface Asked {
  sessionId: string;
  decision: DecisionRecord;
  /** Of the person; undefined for another function, which has a secret key. */
  token: string | undefined;
}

/** `received`, or the code of the refusal; undefined if there was no answer, or trying again may help. */
export async function decideOverHttp(
  { url, keys }: World["stack"],
  { sessionId, decision: { id, callId, verdict, input, comment }, token }: Asked,
): Promise<string | undefined> {
  const credentials = token === undefined ? { apikey: keys.secretKey } : { authorization: `Bearer ${token}` };
  const edited = {
    ...(input !== undefined && { input }),
    ...(comment !== undefined && { content: comment }),
  };
  try {
    const response = await fetch(`${url}/functions/v1/notify_websocket/approvals`, {
      method: "POST",
      headers: { ...credentials, "content-type": "application/json" },
      body: JSON.stringify({ session_id: sessionId, approval_id: callId, id, verdict, ...edited }),
      signal: AbortSignal.timeout(10_000),
    });
    const answer = await response.json();
    if (response.ok) return "received";
    return response.status >= 500 ? undefined : String(answer.code);
  } catch {
    // The worker was killed, or it took too long.
    return undefined;
  }
}

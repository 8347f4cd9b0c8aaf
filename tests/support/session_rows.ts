/** The log of a session as rows of the table, and as frames to a client. */

import type { AgentEventRow } from "../../client/ui_messages.ts";
import { toJsonbText } from "../../supabase/functions/_shared/platform/jsonb_text.ts";
import type { Logged, NewLogEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { renderEvent } from "../../supabase/functions/_shared/protocol/render.ts";
import { cancelled, configured, failure, notification, query, response } from "./log_events.ts";
import type { ToolClient } from "../../client/tool_client.ts";
import {
  scriptedClient,
  type ScriptedSocket,
  scriptedToolClient,
  type TestClient,
} from "./scripted_sockets.ts";

export const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };

/** The event that a query which replaces another has before it. */
type Rewound = { kind: "rewound"; queryId: string; turnId: string; replaces: string; fromSeq: number };

export function rewound(queryId: string, replaces: string, fromSeq: number): Rewound {
  return { kind: "rewound", queryId, turnId: `t-${queryId}`, replaces, fromSeq };
}

/** Events as the log numbers them. */
function logged<T extends NewLogEvent | Rewound>(events: readonly T[]): (T & Logged)[] {
  return events.map((event, index) => ({ ...event, seq: index + 1, at: 1000 * index }));
}

/** Rows as PostgreSQL has them. */
export function rowsOf(events: readonly (NewLogEvent | Rewound)[]): AgentEventRow[] {
  return logged(events).map((event) => ({ event: JSON.parse(toJsonbText(JSON.stringify(event))) }));
}

/** Answers of every kind, and events that are no messages. */
export const CONVERSATION: readonly NewLogEvent[] = [
  configured("o", { temperature: 0 }),
  query("q1", "Hi!"),
  { ...response("q1", "Hello."), usage: USAGE },
  notification("n", "By the way"),
  query("q2", "Two at once"),
  query("q3", "and three?"),
  { ...cancelled("q2", "One, t"), usage: { ...USAGE, estimated: true } },
  failure("q3", "Thr"),
  query("q4", "Say nothing."),
  failure("q4"),
  query("q5", "Still there?"),
];

/** A client that is shown the log of a session that it has not seen before. */
export async function clientOf(
  events: readonly NewLogEvent[],
): Promise<TestClient & { socket: ScriptedSocket }> {
  const scripted = scriptedClient({ reasoning: true });
  const socket = await scripted.welcomed();
  for (const event of logged(events)) socket.say(renderEvent(event));
  return Object.assign(scripted, { socket });
}

/** The same for a client for agents with tools. */
export async function toolClientOf(
  events: readonly (NewLogEvent | Rewound)[],
): Promise<TestClient<ToolClient> & { socket: ScriptedSocket }> {
  const scripted = scriptedToolClient();
  const socket = await scripted.welcomed();
  for (const event of logged(events)) socket.say(renderEvent(event, { tools: true }));
  return Object.assign(scripted, { socket });
}

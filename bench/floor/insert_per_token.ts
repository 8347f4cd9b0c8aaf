/**
 * The floor with a row inserted for each token before it is sent, as in the platform's example "Resumable WebSockets".
 */

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { createParser } from "eventsource-parser";

const url = `${Deno.env.get("OPENROUTER_BASE_URL")}/chat/completions`;
const keys: { default: string } = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}");
const client: SupabaseClient = createClient(Deno.env.get("SUPABASE_URL") ?? "", keys.default, {
  auth: { persistSession: false, autoRefreshToken: false },
});

Deno.serve((request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const sessionId = crypto.randomUUID();
  socket.onopen = () => socket.send(JSON.stringify({ type: "notification", content: "connected" }));
  socket.onmessage = ({ data }) => answer(socket, sessionId, JSON.parse(data).content);
  return response;
});

async function answer(socket: WebSocket, sessionId: string, question: string): Promise<void> {
  const { body } = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "bench/model",
      messages: [{ role: "user", content: question }],
      stream: true,
    }),
  });
  let text = "";
  const tokens: string[] = [];
  const parser = createParser({
    onEvent({ data }): void {
      if (data === "[DONE]") return;
      const content = JSON.parse(data).choices[0]?.delta.content;
      if (content) tokens.push(content);
    },
  });
  const decoder = new TextDecoder();
  const reader = body?.getReader();
  for (let chunk; (chunk = await reader?.read())?.value;) {
    parser.feed(decoder.decode(chunk.value, { stream: true }));
    for (const content of tokens.splice(0)) {
      text += content;
      await show(socket, sessionId, { type: "delta", content });
    }
  }
  await show(socket, sessionId, { type: "response", content: text });
}

async function show(
  socket: WebSocket,
  sessionId: string,
  frame: { type: string; content: string },
): Promise<void> {
  const row = { session_id: sessionId, event_type: frame.type, payload: frame };
  const { data, error } = await client.from("ws_events").insert(row).select("id").single();
  if (error !== null) throw error;
  // Put the type first: the load generator expects it there.
  socket.send(JSON.stringify({ ...frame, id: data.id }));
}

/** What is not React: sign-in, the transport, and the chats of the signed-in user. */

import { Chat } from "@ai-sdk/react";
import { createClient } from "@supabase/supabase-js";
import { AgentClient, toUIMessages } from "agent-websocket-client";
import { AgentChatTransport } from "agent-websocket-client/ai-sdk";
import { type ChatTransport, type UIMessage, WebSocketChatTransport } from "ai";

const { VITE_SUPABASE_URL: base = "http://127.0.0.1:54321", VITE_TRANSPORT } = import.meta.env;
const { VITE_SUPABASE_PUBLISHABLE_KEY: key = "sb_publishable_local_development" } = import.meta.env;
export const supabase = createClient(base, key);
const url = `${base}/functions/v1/agent_websocket`;
const getToken = async () => (await supabase.auth.getSession()).data.session?.access_token;

/** For the list of conversations. */
export const agent = new AgentClient(url, { getToken, storage: sessionStorage });

export const transport: ChatTransport<UIMessage> = VITE_TRANSPORT === "ai-sdk"
  ? new WebSocketChatTransport({
    url: `${url}/ai-sdk`,
    params: async () => ({ jwt: await getToken() ?? "" }),
    // The server has the conversation: it needs only the newest question.
    prepareSendMessagesRequest: ({ messages }) => ({ messages: messages.slice(-1) }),
  })
  : new AgentChatTransport((id) => agent.chat(id));

/** `useChat({ id })` stops its answer when its component goes away. These chats stay, and so do their answers. */
const chats = new Map<string, Promise<Chat<UIMessage>>>();

/** The chat with this id, the same for every component. */
export function openChat(id: string) {
  if (!chats.has(id)) chats.set(id, loadChat(id));
  return chats.get(id)!;
}

async function loadChat(id: string): Promise<Chat<UIMessage>> {
  const { data, error } = await supabase.from("agent_events").select("event, agent_sessions!inner()")
    .eq("agent_sessions.chat_id", id).order("seq", { ascending: false }).limit(500);
  if (error) return await new Promise((resolve) => setTimeout(() => resolve(loadChat(id)), 1000));
  const chat = new Chat<UIMessage>({
    id,
    transport,
    messages: toUIMessages(data),
    // Only the AI SDK's own transport needs this: it fails when the connection is lost, and does not reconnect.
    onError: (why) => why instanceof TypeError && setTimeout(() => chat.error && chat.resumeStream(), 1000),
  });
  return chat;
}

let userId: string | undefined;
supabase.auth.onAuthStateChange((_event, session) => {
  if (userId === session?.user.id) return;
  // When a user signs out, in this tab or another, nothing of them stays.
  if (userId !== undefined) {
    agent.close({ forget: true });
    transport.close?.();
    chats.clear();
  }
  userId = session?.user.id;
  if (userId !== undefined) void agent.connect();
});

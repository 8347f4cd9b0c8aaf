/** Which session a client asks for, and the record of a new one. */

import { sha256Hex } from "../guard/digest.ts";
import type { Identity } from "../guard/identity.ts";
import type { ConversationStore } from "../ports/conversation_store.ts";
import type { Clock, Ids } from "../ports/runtime.ts";
import type { SessionOwner, SessionRecord, SessionStore, StoredSession } from "../ports/session_store.ts";
import type { ResumeRequest } from "../protocol/connect_request.ts";

/** How the server's resume tokens look: 256 bits. A client's own word, which others may guess, never owns a session. */
const TOKEN = /^[\w-]{43}$/;

/** Whether a token may own sessions. */
export function isResumeToken(token: string): boolean {
  return TOKEN.test(token);
}

/** The session that the client asks for: by its id, or else by its chat id. Rejects as the store does. */
export async function findRequested(
  store: SessionStore,
  identity: Identity,
  { sessionId, chatId, token, tail }: ResumeRequest & { tail: number },
): Promise<StoredSession | undefined> {
  const claims: SessionOwner[] = [];
  if (identity.kind === "user") claims.push({ kind: "user", userId: identity.userId });
  // Hashed whether or not the session exists, so that the time taken reveals nothing.
  if (token !== undefined) claims.push({ kind: "anonymous", tokenHash: await sha256Hex(token) });
  const named = sessionId === undefined ? undefined : await store.find(sessionId, claims, { tail });
  if (named !== undefined || chatId === undefined) return named;
  return await store.findByChat(chatId, claims, { tail });
}

/** Whose session it is; undefined if there is none. Rejects as the store does. */
export async function ownerOf(
  store: ConversationStore,
  sessionId: string,
): Promise<SessionOwner | undefined> {
  for (const isArchived of [false, true]) {
    const [conversation] = await store.list({ sessionId }, { limit: 1, isArchived });
    if (conversation !== undefined) return conversation.record.owner;
  }
  return undefined;
}

/**
 * The record of a new session, with the resume token if it is anonymous: the client's own if it opens another chat with it, else a
 * new one.
 */
export async function newRecord(
  identity: Identity,
  { chatId, token, agent }: Partial<ResumeRequest> & { agent: string | undefined },
  { ids, clock }: { ids: Ids; clock: Clock },
): Promise<{ record: SessionRecord; resumeToken: string | undefined }> {
  const given = chatId !== undefined && isResumeToken(token ?? "") ? token : undefined;
  const resumeToken = identity.kind === "anonymous" ? given ?? ids.secret() : undefined;
  const owner: SessionOwner = identity.kind === "user"
    ? { kind: "user", userId: identity.userId }
    : { kind: "anonymous", tokenHash: await sha256Hex(resumeToken ?? "") };
  return {
    record: {
      sessionId: ids.uuid(),
      owner,
      ...(chatId !== undefined && { chatId }),
      ...(agent !== undefined && { agent }),
      createdAt: clock.now(),
    },
    resumeToken,
  };
}

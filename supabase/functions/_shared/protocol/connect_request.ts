/** A client's connect request, parsed from the URL and the headers of the upgrade. */

import { AgentError } from "../errors.ts";

/** The subprotocol that the server selects. A browser that offers subprotocols requires that one is selected. */
export const SUBPROTOCOL = "agent-websocket.v1";
/** The path of the AI SDK's dialect, after the function's own path. */
export const AI_SDK_PATH = "/ai-sdk";
/** The subprotocol that the server selects there. */
export const AI_SDK_SUBPROTOCOL = "ai-sdk.v1";
/** The header in which a client offers subprotocols: a list, some of whose elements carry a token. */
export const SUBPROTOCOL_HEADER = "sec-websocket-protocol";

/** A request for a session that may exist. At least one of `sessionId` and `chatId` is set; `sessionId` is looked up first. */
export interface ResumeRequest {
  sessionId: string | undefined;
  /** The app's own name for the conversation, 1 to 128 characters. It is made if the owner has none of this name. */
  chatId: string | undefined;
  /** The newest `seq` that the client has; 0 for none. Negative (never from the wire): it wants so many of the newest events. */
  lastSeq: number;
  /** The resume token of an anonymous session. */
  token: string | undefined;
  /** Refuses with `unknown_session` instead of making a session. Never from the wire. */
  mustExist?: boolean;
}

/** The parameters of one upgrade, validated. */
export interface ConnectRequest {
  /** The user's token. The header takes precedence over the subprotocol, and that over the query parameter. */
  token: string | undefined;
  /** Which of the deployment's agents a new session has; undefined for the default one. */
  agent: string | undefined;
  /** Whether the client wants deltas. */
  stream: boolean;
  /** Whether the client wants the reasoning of the model. */
  reasoning: boolean;
  /** Whether the client knows the frames of tool calls. */
  tools: boolean;
  /** Whether the client wants deltas and reasoning in the short form. */
  shortDeltas: boolean;
  /** Whether the client wants application heartbeats. */
  heartbeat: boolean;
  /** The session to resume or the conversation to open, if any. */
  resume: ResumeRequest | undefined;
  /** The resume token, whether or not a session is named. */
  resumeToken: string | undefined;
  origin: string | undefined;
}

/** Throws `invalid_frame` for an invalid parameter, naming it and what was expected. */
export function parseConnectRequest(url: URL, headers: Headers): ConnectRequest {
  const query = url.searchParams;
  const offered = offeredSubprotocols(headers);
  const fromProtocol = (prefix: string): string | undefined =>
    offered.find((name) => name.startsWith(prefix))?.slice(prefix.length);
  const resumeToken = fromProtocol("resume-") ?? query.get("resume_token") ?? undefined;
  const sessionId = query.get("session_id") ?? undefined;
  const chatId = parseChatId(query.get("chat_id"));
  const lastSeq = parseCursor(query.get("last_seq"));
  return {
    token: bearerOf(headers) ?? fromProtocol("jwt-") ?? query.get("jwt") ?? undefined,
    agent: query.get("agent") ?? undefined,
    stream: parseFlag("stream", query.get("stream")),
    reasoning: parseFlag("reasoning", query.get("reasoning")),
    tools: parseFlag("tools", query.get("tools")),
    shortDeltas: parseForm(query.get("deltas")) === "short",
    heartbeat: parseFlag("heartbeat", query.get("heartbeat")),
    resume: sessionId === undefined && chatId === undefined ? undefined : {
      sessionId,
      chatId,
      lastSeq,
      token: resumeToken,
    },
    resumeToken,
    origin: headers.get("origin") ?? undefined,
  };
}

/** The offered subprotocols, in order and without duplicates, in any spelling of the list that RFC 9110, 5.6.1 allows. */
export function offeredSubprotocols(headers: Headers): string[] {
  const names = (headers.get(SUBPROTOCOL_HEADER) ?? "").split(",").map((name) => name.trim());
  return [...new Set(names)].filter((name) => name !== "");
}

/** The token after `Bearer`. `Bearer` alone is an empty token, not a missing one. */
export function bearerOf(headers: Headers): string | undefined {
  return /^bearer( .*|)$/i.exec(headers.get("authorization") ?? "")?.[1]?.trim();
}

function parseCursor(value: string | null): number {
  if (value === null) return 0;
  const cursor = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(cursor)) throw malformed("last_seq", "a whole number, 0 or more");
  return cursor;
}

function parseChatId(value: string | null): string | undefined {
  if (value === null) return undefined;
  if (value === "" || value.length > 128) throw malformed("chat_id", "1 to 128 characters");
  return value;
}

function parseFlag(name: string, value: string | null): boolean {
  if (value === null || value === "false" || value === "0") return false;
  if (value === "true" || value === "1") return true;
  throw malformed(name, "true or false");
}

function parseForm(value: string | null): "full" | "short" {
  if (value === null || value === "full") return "full";
  if (value === "short") return "short";
  throw malformed("deltas", "full or short");
}

function malformed(name: string, expected: string): AgentError {
  return new AgentError("invalid_frame", `Cannot connect: "${name}" must be ${expected}`);
}

/** What a client asks for when it connects, read off the URL and the headers of the upgrade. */

import { AgentError } from "../errors.ts";

/** The one subprotocol that the server names in its answer: a browser that offers any wants one of them back. */
export const SUBPROTOCOL = "agent-websocket.v1";
/** The header by which a client offers subprotocols: a list, each with what it carries. */
export const SUBPROTOCOL_HEADER = "sec-websocket-protocol";

/** What one upgrade asks for, checked. */
export interface ConnectRequest {
  /** The user's token; the header counts before the subprotocol, and that before the query. */
  token: string | undefined;
  /** Whether deltas are wanted. */
  stream: boolean;
  /** Whether application heartbeats are wanted. */
  heartbeat: boolean;
  /** The session to resume, if any. */
  resume: { sessionId: string; lastSeq: number; token: string | undefined } | undefined;
  origin: string | undefined;
  /** Whether {@linkcode SUBPROTOCOL} was offered. */
  offersSubprotocol: boolean;
}

/** Throws `invalid_frame` where a parameter makes no sense, naming it and what was expected. */
export function parseConnectRequest(url: URL, headers: Headers): ConnectRequest {
  const query = url.searchParams;
  const offered = offeredSubprotocols(headers);
  const fromProtocol = (prefix: string): string | undefined =>
    offered.find((name) => name.startsWith(prefix))?.slice(prefix.length);
  const sessionId = query.get("session_id") ?? undefined;
  const lastSeq = parseCursor(query.get("last_seq"));
  return {
    token: bearerOf(headers) ?? fromProtocol("jwt-") ?? query.get("jwt") ?? undefined,
    stream: parseFlag("stream", query.get("stream")),
    heartbeat: parseFlag("heartbeat", query.get("heartbeat")),
    resume: sessionId === undefined ? undefined : {
      sessionId,
      lastSeq,
      token: fromProtocol("resume-") ?? query.get("resume_token") ?? undefined,
    },
    origin: headers.get("origin") ?? undefined,
    offersSubprotocol: offered.includes(SUBPROTOCOL),
  };
}

/** The subprotocols that a client offers, each once, in its order, however the list is written (RFC 9110, 5.6.1). */
export function offeredSubprotocols(headers: Headers): string[] {
  const names = (headers.get(SUBPROTOCOL_HEADER) ?? "").split(",").map((name) => name.trim());
  return [...new Set(names)].filter((name) => name !== "");
}

/** What stands behind `Bearer`: with nothing behind it, that is an empty token, and not none. */
export function bearerOf(headers: Headers): string | undefined {
  return /^bearer( .*|)$/i.exec(headers.get("authorization") ?? "")?.[1]?.trim();
}

function parseCursor(value: string | null): number {
  if (value === null) return 0;
  const cursor = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(cursor)) throw malformed("last_seq", "a whole number, 0 or more");
  return cursor;
}

function parseFlag(name: string, value: string | null): boolean {
  if (value === null || value === "false" || value === "0") return false;
  if (value === "true" || value === "1") return true;
  throw malformed(name, "true or false");
}

function malformed(name: string, expected: string): AgentError {
  return new AgentError("invalid_frame", `Cannot connect: "${name}" must be ${expected}`);
}

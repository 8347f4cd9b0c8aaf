/** The WebSocket handshake, and its refusals, which are delayed. */

import { keyOfHandshake } from "./api_key.ts";
import { Connection } from "./connection.ts";
import type { Version } from "./frames.ts";
import type { Context } from "./join.ts";
import { isOver } from "./settings.ts";
import { wait } from "./wait.ts";
import { handshakeWords } from "./words.ts";

export interface Handshake {
  context: Context;
  connections: Set<Connection>;
  /** Aborts when the server stops; this ends all waits. */
  stopped: AbortSignal;
}

export async function openSocket(
  request: Request,
  { context, connections, stopped }: Handshake,
): Promise<Response> {
  const { tokens, limits, joins, delays, clock } = context;
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return new Response(null, { status: 400 });
  }
  const version = readVersion(new URL(request.url).searchParams.get("vsn") ?? "1.0.0");
  if (version === undefined) return new Response(null, { status: 403 });
  const refuse = async (status: number, error: string): Promise<Response> => {
    await wait(delays.handshakeErrorMs, { clock, signal: stopped });
    return Response.json({ error }, { status });
  };
  const token = keyOfHandshake(request, tokens);
  if (token === undefined) return await refuse(401, "API key is missing");
  const verdict = await tokens.verify(token);
  if (verdict.problem !== undefined) return await refuse(401, handshakeWords(verdict.problem));
  if (isOver(connections.size + 1, limits.connections)) return await refuse(429, "Too many connected users");
  if (isOver(joins.perSecond(), limits.joinsPerSecond)) return await refuse(429, "Too many joins per second");
  const { socket, response } = Deno.upgradeWebSocket(request);
  connections.add(
    new Connection({ socket, version, token, onEnd: (ended) => connections.delete(ended) }, context),
  );
  return response;
}

function readVersion(vsn: string): Version | undefined {
  const major = /^([12])\.0\.\d+$/.exec(vsn)?.[1];
  return major === "1" ? 1 : major === "2" ? 2 : undefined;
}

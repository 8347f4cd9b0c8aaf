/** Broadcasting over HTTP: `POST /realtime/v1/api/broadcast`, and `…/:topic/events/:event` as `httpSend` does it. */

import { keyOfRequest } from "./api_key.ts";
import { decodeBatch, type Decoded, decodeSingle } from "./broadcast_request.ts";
import type { Context } from "./join.ts";
import { isOver } from "./settings.ts";

const BATCH = "/api/broadcast";
const SINGLE = /^\/api\/broadcast\/([^/]+)\/events\/([^/]+)$/;
const JSON_TYPE = "application/json";

/** `path` is without `/realtime/v1`. Returns undefined for an unknown path. */
export async function answerHttp(
  request: Request,
  path: string,
  context: Context,
): Promise<Response | undefined> {
  const single = SINGLE.exec(path);
  if (path !== BATCH && single === null) return undefined;
  if (request.method !== "POST") return undefined;
  const contentType = request.headers.get("content-type") ?? JSON_TYPE;
  if (single !== null && !/^application\/(json|octet-stream)/.test(contentType)) {
    const error = "Unsupported Media Type. Use application/json or application/octet-stream";
    return Response.json({ error }, { status: 415 });
  }
  const body = await readBody(request, context.limits.bodyBytes);
  if (body === undefined) return Response.json("Request Entity Too Large", { status: 413 });
  let decoded: Decoded;
  try {
    decoded = single === null
      ? decodeBatch(contentType.startsWith(JSON_TYPE) ? parse(body) : undefined, context.limits.payloadBytes)
      : decodeSingle({
        room: {
          topic: decodeURIComponent(single[1] ?? ""),
          private: new URL(request.url).searchParams.get("private") === "true",
        },
        event: decodeURIComponent(single[2] ?? ""),
        contentType,
        body,
      }, context.limits.payloadBytes);
  } catch {
    return Response.json("Bad Request", { status: 400 });
  }
  return await publish(request, { decoded, isBatch: single === null }, context);
}

async function publish(
  request: Request,
  { decoded, isBatch }: { decoded: Decoded; isBatch: boolean },
  context: Context,
): Promise<Response> {
  const { hub, tokens, policy } = context;
  const key = keyOfRequest(request, tokens);
  const verdict = key === undefined ? undefined : await tokens.verify(key);
  const { perSecond, limit } = hub.rate;
  const rolling = Math.trunc(perSecond);
  const headers = {
    "x-rate-limit": String(limit),
    "x-rate-rolling": String(rolling),
    "x-rate-limit-remaining": String(limit - rolling),
  };
  if (verdict === undefined || verdict.problem !== undefined) {
    return Response.json({ message: "Unauthorized" }, { status: 401, headers });
  }
  if ("errors" in decoded) return Response.json({ errors: decoded.errors }, { status: 422, headers });
  // The route for one message only looks at the rate (realtime, single_broadcast.ex).
  const refusal = hub.refusalOf(isBatch ? decoded.messages.length : 0);
  if (refusal !== undefined) return Response.json({ message: refusal }, { status: 429, headers });
  for (const { room, broadcast } of decoded.messages) {
    // As in Realtime, a caller without permission to write gets no error.
    if (room.private && !policy({ topic: room.topic, claims: verdict.claims, action: "write" })) continue;
    hub.publish(room, broadcast);
  }
  return new Response(null, { status: 202, headers });
}

/** Undefined if the body is longer than `bodyBytes`. */
async function readBody(request: Request, bodyBytes: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (isOver(Number(request.headers.get("content-length") ?? 0), bodyBytes)) return undefined;
  // If the request was cut, there is no body and no client for the answer.
  const body = new Uint8Array(await request.arrayBuffer().catch(() => new ArrayBuffer(0)));
  return isOver(body.length, bodyBytes) ? undefined : body;
}

function parse(body: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(body));
}

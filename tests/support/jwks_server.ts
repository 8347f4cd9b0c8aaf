/**
 * The parts of Supabase Auth that verify tokens, over real HTTP: the key set, and `/user` for shared-secret tokens. The
 * key sets of other issuers are at `/jwks`.
 */

import { type TokenSigner, verifyShared } from "./tokens.ts";

/**
 * `down`: HTTP 503 with HTML, as a gateway answers. `silent`: accepts the request and never answers. `stalling`: sends
 * the head and half of the body. `endless`: the body never ends. `busy`: HTTP 429. `odd`: HTTP 200 with unexpected
 * JSON. `old`: no key set (HTTP 404); everything else works.
 */
export type AuthServerMode = "up" | "down" | "silent" | "stalling" | "endless" | "busy" | "odd" | "old";

export interface AuthServer extends AsyncDisposable {
  /** The value of `SUPABASE_URL`. */
  readonly url: string;
  /** The number of requests so far. */
  readonly requests: { keySet: number; user: number; unknown: number };
  /** The distinct `apikey` headers received. */
  readonly apiKeys: ReadonlySet<string>;
  /** The published keys. */
  keys: readonly TokenSigner[];
  mode: AuthServerMode;
  /** Users who signed out. Their sessions no longer exist. */
  readonly signedOut: Set<string>;
}

export interface AuthServerOptions {
  keys?: readonly TokenSigner[];
  /** The shared secret. Without one, every HS256 token is refused. */
  secret?: string;
}

export function startAuthServer({ keys = [], secret }: AuthServerOptions = {}): AuthServer {
  const requests = { keySet: 0, user: 0, unknown: 0 };
  const apiKeys = new Set<string>();
  const ending = Promise.withResolvers<Response>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    apiKeys.add(request.headers.get("apikey") ?? "");
    if (pathname === "/auth/v1/.well-known/jwks.json" || pathname === "/jwks") requests.keySet++;
    else if (pathname === "/auth/v1/user") requests.user++;
    else requests.unknown++;
    switch (self.mode) {
      case "down":
        return new Response("<html>Service Unavailable</html>", { status: 503 });
      case "busy":
        return problem(429, "over_request_rate_limit");
      case "odd":
        return Response.json({ hello: "world" });
      case "silent":
        return await ending.promise;
      case "stalling":
        return new Response(half(ending.promise), { headers: { "content-type": "application/json" } });
      case "endless":
        return new Response(endless(), { headers: { "content-type": "application/json" } });
      case "old":
      case "up":
        if (pathname === "/auth/v1/user") return await user(request);
        if (self.mode === "old") return new Response("404 page not found", { status: 404 });
        return Response.json({ keys: self.keys.map(({ jwk }) => jwk).filter((jwk) => jwk !== undefined) });
    }
  });

  async function user(request: Request): Promise<Response> {
    const token = request.headers.get("authorization")?.replace(/^Bearer /, "") ?? "";
    const claims = secret === undefined ? undefined : await verifyShared(token, secret);
    if (typeof claims?.sub !== "string") return problem(403, "bad_jwt");
    if (self.signedOut.has(claims.sub)) return problem(403, "session_not_found");
    return Response.json({ id: claims.sub, aud: claims.aud, role: claims.role });
  }

  const self: AuthServer = {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests,
    apiKeys,
    keys,
    mode: "up",
    signedOut: new Set(),
    async [Symbol.asyncDispose](): Promise<void> {
      ending.resolve(new Response(null, { status: 503 }));
      await server.shutdown();
    },
  };
  return self;
}

/** An error in the format of Supabase Auth since its API version 2024-01-01. */
function problem(status: number, code: string): Response {
  return Response.json({ code, message: "refused" }, {
    status,
    headers: { "x-supabase-api-version": "2024-01-01" },
  });
}

function half(until: Promise<unknown>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller): Promise<void> {
      controller.enqueue(new TextEncoder().encode('{"keys": ['));
      await until;
      controller.close();
    },
  });
}

function endless(): ReadableStream<Uint8Array> {
  const blanks = new Uint8Array(65_536).fill(32);
  return new ReadableStream({ pull: (controller) => controller.enqueue(blanks) });
}

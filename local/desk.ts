/** The requests that the stack answers itself: the page, the key set, the test hooks. */

import type { LocalKeys } from "./keys.ts";
import type { Playground } from "./playground.ts";
import type { TestHooks } from "./test_hooks.ts";

export const JWKS_PATH = "/auth/v1/.well-known/jwks.json";

export interface DeskOptions {
  keys: LocalKeys;
  /** The page at `/`. */
  playground: Playground;
  /** Only if test hooks are enabled. */
  hooks?: TestHooks;
}

export interface Desk {
  port: number;
  stop(): Promise<void>;
}

/** Listens on a loopback port, behind the gateway. */
export function openDesk(options: DeskOptions): Desk {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => await answer(request, options) ?? notFound(new URL(request.url).pathname),
  );
  return {
    port: server.addr.port,
    stop: () => server.shutdown(),
  };
}

async function answer(
  request: Request,
  { keys, playground, hooks }: DeskOptions,
): Promise<Response | undefined> {
  const { pathname } = new URL(request.url);
  if (request.method === "GET" || request.method === "HEAD") {
    if (pathname === JWKS_PATH) {
      const others = await hooks?.publicKeys() ?? [];
      return Response.json({ keys: [keys.es256, ...others].map(({ publicJwk }) => publicJwk) }, {
        headers: { "access-control-allow-origin": "*", "cache-control": "public, max-age=600" },
      });
    }
  }
  return pathname.startsWith("/__local/") ? await hooks?.handle(request) : await playground.answer(request);
}

function notFound(pathname: string): Response {
  return Response.json({ code: "NOT_FOUND", message: `Nothing is served at ${pathname}` }, {
    status: 404,
    headers: { "access-control-allow-origin": "*" },
  });
}

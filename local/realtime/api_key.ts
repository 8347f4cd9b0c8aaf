/** Where a request may carry its key, and the order of precedence. */

import type { Tokens } from "./tokens.ts";

/** The key of a WebSocket handshake; undefined if there is none. Browsers cannot set headers there. */
export function keyOfHandshake(request: Request, tokens: Tokens): string | undefined {
  const { headers, url } = request;
  const key = headers.get("x-api-key") ?? headers.get("apikey") ?? new URL(url).searchParams.get("apikey") ??
    bearer(headers);
  return key === undefined ? undefined : tokens.forKey(key);
}

/** The key of an HTTP request: a user's token has precedence over the API key. */
export function keyOfRequest(request: Request, tokens: Tokens): string | undefined {
  const { headers, url } = request;
  const key = bearer(headers) ?? headers.get("apikey") ?? headers.get("x-api-key") ??
    new URL(url).searchParams.get("apikey");
  return key === null ? undefined : tokens.forKey(key);
}

function bearer(headers: Headers): string | undefined {
  return /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
}

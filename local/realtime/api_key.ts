/** Where a request may carry its key, and in what order they count. */

import type { Tokens } from "./tokens.ts";

/** Of a WebSocket, which in a browser cannot have headers; undefined if there is none. */
export function keyOfHandshake(request: Request, tokens: Tokens): string | undefined {
  const { headers, url } = request;
  const key = headers.get("x-api-key") ?? headers.get("apikey") ?? new URL(url).searchParams.get("apikey") ??
    bearer(headers);
  return key === undefined ? undefined : tokens.forKey(key);
}

/** Of an HTTP request: a user's token before the API key of the same request. */
export function keyOfRequest(request: Request, tokens: Tokens): string | undefined {
  const { headers, url } = request;
  const key = bearer(headers) ?? headers.get("apikey") ?? headers.get("x-api-key") ??
    new URL(url).searchParams.get("apikey");
  return key === null ? undefined : tokens.forKey(key);
}

function bearer(headers: Headers): string | undefined {
  return /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
}

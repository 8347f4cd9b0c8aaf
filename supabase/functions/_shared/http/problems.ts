/** Answers over HTTP that say what is wrong: RFC 9457 problem details, or the seed's plain text. */

export interface Problem {
  status: number;
  /** A stable code, as in `error` frames. */
  code: string;
  /** What was expected, in words. */
  detail: string;
  /** Which part of the request it is about. */
  field?: string;
  /** What makes the same request harmless when it is made again. */
  id?: string;
}

export function problem(what: Problem, headers: Record<string, string> = {}): Response {
  const { status } = what;
  const body = JSON.stringify({ type: "about:blank", title: TITLES[status] ?? "Error", ...what });
  return new Response(body, { status, headers: { ...headers, "content-type": "application/problem+json" } });
}

/** What everything that is no upgrade gets, as in the seed. */
export function expectedWebSocket(): Response {
  return new Response("Expected WebSocket request", { status: 400 });
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

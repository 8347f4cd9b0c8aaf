/** Answers over HTTP that say what is wrong: RFC 9457 problem details, or the seed's plain text. */

export interface Problem {
  status: number;
  /** A stable code, as in `error` frames. */
  code: string;
  /** What was expected, in words. */
  detail: string;
}

export function problem({ status, code, detail }: Problem, headers: Record<string, string> = {}): Response {
  const body = JSON.stringify({
    type: "about:blank",
    title: TITLES[status] ?? "Error",
    status,
    code,
    detail,
  });
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
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** The real server's messages, word for word. */

import type { TokenProblem } from "./tokens.ts";

/** The text in the body of a refused handshake. */
export function handshakeWords(problem: TokenProblem): string {
  return problem.kind === "expired" ? "Token has expired" : wordsOf(problem);
}

const CODES: Readonly<Record<TokenProblem["kind"], string>> = {
  malformed: "MalformedJWT",
  expired: "InvalidJWTToken",
  missing_claims: "InvalidJWTToken",
  no_signer: "JwtSignerError",
  bad_signature: "JwtSignatureError",
};

/** The reason of a refused join. */
export function joinWords(problem: TokenProblem): string {
  return `${CODES[problem.kind]}: ${wordsOf(problem)}`;
}

/** The system message before a channel is closed. */
export function systemWords(problem: TokenProblem): string {
  // The real server has no text for this problem in a joined channel. It prints its internal name.
  return problem.kind === "bad_signature" ? ":signature_error" : wordsOf(problem);
}

/** After `Unauthorized: ` if a join is refused; alone if a channel is closed. */
export function notReadable(topic: string): string {
  return `You do not have permissions to read from this Channel topic: ${topic}`;
}

function wordsOf(problem: TokenProblem): string {
  switch (problem.kind) {
    case "malformed":
      return "The token provided is not a valid JWT";
    case "expired":
      return `Token has expired ${problem.secondsAgo} seconds ago`;
    case "missing_claims":
      return "Fields `role` and `exp` are required in JWT";
    case "no_signer": {
      const which = problem.kid === undefined ? "" : ` for key ID (kid) ${JSON.stringify(problem.kid)}`;
      return `Failed to generate JWT signer${which}, check your JWT secret or JWKS configuration`;
    }
    case "bad_signature":
      return "Failed to validate JWT signature";
  }
}

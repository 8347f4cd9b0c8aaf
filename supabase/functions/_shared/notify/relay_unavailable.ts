import { AgentError } from "../errors.ts";

/** Why a message was not relayed: trying again may help. */
export function relayUnavailable(
  why: string,
  { retryAfterMs, cause }: { retryAfterMs?: number; cause?: unknown } = {},
): AgentError {
  return new AgentError("relay_unavailable", `Cannot relay the message: ${why}`, {
    retryable: true,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(cause !== undefined && { cause }),
  });
}

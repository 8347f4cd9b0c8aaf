/** How an {@linkcode IdentityVerifier} may fail: with a code and a message of our own, without any part of the token. */

import assert from "node:assert/strict";
import { AgentError, type ErrorCode } from "../../supabase/functions/_shared/errors.ts";
import { logLine } from "../../supabase/functions/_shared/platform/log_line.ts";
import type { IdentityVerifier } from "../../supabase/functions/_shared/ports/identity.ts";

export async function refuses(verifier: IdentityVerifier, token: string): Promise<AgentError> {
  return await fails(verifier, token, "unauthorized");
}

export async function cannotCheck(verifier: IdentityVerifier, token: string): Promise<AgentError> {
  return await fails(verifier, token, "store_unavailable");
}

async function fails(verifier: IdentityVerifier, token: string, code: ErrorCode): Promise<AgentError> {
  const error: unknown = await verifier.verify(token).then(() => undefined, (thrown: unknown) => thrown);
  assert.ok(error instanceof AgentError, `accepted, or not an AgentError: ${error}`);
  assert.equal(error.code, code, error.message);
  assert.equal(error.retryable, code === "store_unavailable");
  assert.match(error.message, /^Cannot (accept|check) the token: [^~]+$/);
  const logged = logLine({ level: "warn", event: "refused", error }, 0);
  for (const part of token.split(/[.~\s]+/).filter((part) => part.length >= 8)) {
    assert.ok(
      !error.message.includes(part) && !logged.includes(part),
      "the error or the log contains a part of the token",
    );
  }
  return error;
}

/**
 * An {@linkcode IdentityVerifier} with a fixed list of tokens. tests/contract/identity_verifier_test.ts runs the
 * contract on it.
 */

import { AgentError } from "../../supabase/functions/_shared/errors.ts";
import type { IdentityVerifier, VerifiedUser } from "../../supabase/functions/_shared/ports/identity.ts";
import type { Clock } from "../../supabase/functions/_shared/ports/runtime.ts";

export class FakeVerifier implements IdentityVerifier {
  /** While true, every verification fails with `store_unavailable`. */
  down = false;
  /** The client address of each verified token, in order. */
  readonly addresses: (string | undefined)[] = [];
  /** Every verification waits for this promise. */
  gate: Promise<void> = Promise.resolve();
  readonly #clock: Pick<Clock, "now">;
  readonly #users = new Map<string, VerifiedUser>();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Registers `token` for a user, valid for an hour by default, and returns it. */
  admit(token: string, userId: string, expiresAt: number = this.#clock.now() + 3_600_000): string {
    this.#users.set(token, { userId, expiresAt });
    return token;
  }

  // Answers in a later microtask, as a real verifier does.
  async verify(token: string, address?: string): Promise<VerifiedUser> {
    this.addresses.push(address);
    await this.gate;
    if (this.down) {
      throw new AgentError("store_unavailable", "Cannot check the token: the auth server did not answer", {
        retryable: true,
      });
    }
    const user = this.#users.get(token);
    if (user === undefined) throw new AgentError("unauthorized", "Cannot accept the token: it is not known");
    if (user.expiresAt <= this.#clock.now()) {
      throw new AgentError("unauthorized", "Cannot accept the token: it has expired");
    }
    return user;
  }
}

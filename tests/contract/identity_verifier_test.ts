/** The contract of every IdentityVerifier. */

import assert from "node:assert/strict";
import { createSupabaseVerifier } from "../../supabase/functions/_shared/platform/supabase_auth.ts";
import type { IdentityVerifier } from "../../supabase/functions/_shared/ports/identity.ts";
import { FakeVerifier } from "../support/fake_verifier.ts";
import { startAuthServer } from "../support/jwks_server.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { sharedSecret, signingKey, type TokenSigner, userClaims } from "../support/tokens.ts";
import { cannotCheck, refuses } from "../support/verifier_assertions.ts";

const SECRET = "a-secret-of-an-older-project-with-enough-characters";
const es256 = await signingKey("ES256", "key-es256");
const rs256 = await signingKey("RS256", "key-rs256");
const hs256 = sharedSecret(SECRET);

/** One implementation with its test environment. */
interface Subject extends AsyncDisposable {
  verifier: IdentityVerifier;
  clock: ManualClock;
  /** A token for this user, valid until `expiresAt`. */
  token(userId: string, expiresAt: number): Promise<string>;
  takeDown(): void;
}

const SUBJECTS: Readonly<Record<string, () => Subject>> = {
  fake(): Subject {
    const clock = new ManualClock();
    const verifier = new FakeVerifier(clock);
    let tokens = 0;
    return {
      verifier,
      clock,
      token: (userId, expiresAt) => Promise.resolve(verifier.admit(`token-${++tokens}`, userId, expiresAt)),
      takeDown: () => verifier.down = true,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
  "Supabase, ES256": () => supabaseSubject(es256),
  "Supabase, RS256": () => supabaseSubject(rs256),
  "Supabase, shared secret": () => supabaseSubject(hs256),
};

function supabaseSubject(signer: TokenSigner): Subject {
  const server = startAuthServer({ keys: [es256, rs256], secret: SECRET });
  const clock = new ManualClock();
  return {
    verifier: createSupabaseVerifier({ supabaseUrl: server.url, clock, hs256: "accept" }),
    clock,
    token: (userId, expiresAt) =>
      signer.sign(userClaims(clock.now(), { sub: userId, exp: Math.floor(expiresAt / 1000) })),
    takeDown: () => server.mode = "down",
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

for (const [name, open] of Object.entries(SUBJECTS)) {
  Deno.test(`${name}: a good token tells its user and its end`, async () => {
    await using subject = open();
    const expiresAt = subject.clock.now() + 60_000;
    const token = await subject.token("ada", expiresAt);
    const { appMetadata, ...user } = await subject.verifier.verify(token);
    assert.deepEqual(user, { userId: "ada", expiresAt });
    assert.deepEqual(appMetadata ?? {}, {});
  });

  Deno.test(`${name}: a token is good until the moment it expires, and no longer`, async () => {
    await using subject = open();
    const token = await subject.token("ada", subject.clock.now() + 60_000);
    subject.clock.advance(59_999);
    await subject.verifier.verify(token);
    subject.clock.advance(1);
    await refuses(subject.verifier, token);
  });

  Deno.test(`${name}: text that was never a token is refused, and does not disturb a good one`, async () => {
    await using subject = open();
    await refuses(subject.verifier, "never-a-token");
    await refuses(subject.verifier, "");
    await subject.verifier.verify(await subject.token("ada", subject.clock.now() + 60_000));
  });

  Deno.test(`${name}: many users at once are each told apart`, async () => {
    await using subject = open();
    const expiresAt = subject.clock.now() + 60_000;
    const names = Array.from({ length: 100 }, (_, index) => `user ${index}`);
    const tokens = await Promise.all(names.map((userId) => subject.token(userId, expiresAt)));
    const users = await Promise.all(tokens.map((token) => subject.verifier.verify(token)));
    assert.deepEqual(users.map(({ userId }) => userId), names);
  });

  Deno.test(`${name}: a token that cannot be checked is not refused`, async () => {
    await using subject = open();
    const token = await subject.token("ada", subject.clock.now() + 60_000);
    subject.takeDown();
    await cannotCheck(subject.verifier, token);
  });
}

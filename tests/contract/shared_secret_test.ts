/**
 * Tokens signed with the shared secret of older projects. Only the auth server can verify them, at the cost of a
 * request.
 */

import assert from "node:assert/strict";
import {
  createSupabaseVerifier,
  type SupabaseVerifierOptions,
} from "../../supabase/functions/_shared/platform/supabase_auth.ts";
import type { IdentityVerifier } from "../../supabase/functions/_shared/ports/identity.ts";
import { type AuthServer, startAuthServer } from "../support/jwks_server.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { sharedSecret, signingKey, type TokenSigner, userClaims } from "../support/tokens.ts";
import { cannotCheck, refuses } from "../support/verifier_assertions.ts";

const SECRET = "a-secret-of-an-older-project-with-enough-characters";
const es256 = await signingKey("ES256", "key-es256");
const hs256 = sharedSecret(SECRET);
const now = new ManualClock().now();
const plausible = userClaims(now);

interface World {
  server: AuthServer;
  verifier: IdentityVerifier;
  clock: ManualClock;
}

function world(
  options: Partial<SupabaseVerifierOptions> = {},
  keys: readonly TokenSigner[] = [es256],
): World {
  const server = startAuthServer({ keys, secret: SECRET });
  const clock = new ManualClock(now);
  const verifier = createSupabaseVerifier({ supabaseUrl: server.url, clock, hs256: "accept", ...options });
  return { server, clock, verifier };
}

Deno.test("[AU11] where the project has signing keys, forged tokens of the shared secret cost no request each", async () => {
  const { server, verifier } = world({ hs256: "auto" });
  await using _ = server;
  for (let index = 0; index < 200; index++) {
    const error = await refuses(verifier, await sharedSecret(`guess ${index}`).sign(plausible));
    assert.match(error.message, /the shared secret no longer counts, as the project has signing keys$/);
  }
  await refuses(verifier, await hs256.sign(plausible));
  assert.deepEqual(server.requests, { keySet: 1, user: 0, unknown: 0 });
  const strict = createSupabaseVerifier({
    supabaseUrl: server.url,
    clock: new ManualClock(now),
    hs256: "refuse",
  });
  await refuses(strict, await hs256.sign(plausible));
  assert.deepEqual(server.requests, { keySet: 1, user: 0, unknown: 0 });
});

Deno.test("[AU11] where the project has none, the auth server is asked; while that is not known, nobody is let in or refused", async () => {
  const { server, verifier, clock } = world({ hs256: "auto" }, []);
  await using _ = server;
  server.mode = "down";
  await cannotCheck(verifier, await hs256.sign(plausible));
  assert.equal(server.requests.user, 0);
  server.mode = "up";
  clock.advance(1000);
  await verifier.verify(await hs256.sign(userClaims(clock.now())));
  await refuses(verifier, await sharedSecret("another-secret").sign(plausible));
  assert.deepEqual(server.requests, { keySet: 2, user: 2, unknown: 0 });
});

Deno.test("[AU11] an older auth server, which has no key set at all, is asked as well", async () => {
  const { server, verifier } = world({ hs256: "auto" });
  await using _ = server;
  server.mode = "old";
  await verifier.verify(await hs256.sign(plausible));
  await refuses(verifier, await sharedSecret("another-secret").sign(plausible));
  await refuses(verifier, await es256.sign(plausible));
  assert.deepEqual(server.requests, { keySet: 1, user: 2, unknown: 0 });
});

Deno.test("[AU11] an address whose tokens were refused 20 times in a minute causes no more requests, and others are not held up", async () => {
  const { server, verifier, clock } = world();
  await using _ = server;
  const forged = (index: number): Promise<string> =>
    sharedSecret("guess").sign({ ...plausible, session_id: `${index}` });
  const good = (name: string): Promise<string> => hs256.sign(userClaims(now, { session_id: name }));
  // Valid tokens do not count towards the limit, however many there are.
  for (let index = 0; index < 30; index++) await verifier.verify(await good(`good ${index}`), "192.0.2.1");
  const tokens = await Promise.all(Array.from({ length: 100 }, (_, index) => forged(index)));
  const answers = await Promise.all(
    tokens.map((token) => verifier.verify(token, "192.0.2.1").then(() => "good", ({ code }) => String(code))),
  );
  const count = (code: string): number => answers.filter((answer) => answer === code).length;
  assert.deepEqual([count("unauthorized"), count("rate_limited")], [20, 80]);
  assert.equal(server.requests.user, 50);
  // A token that is verified already is still accepted. A new token must wait; the error says how long.
  await verifier.verify(await good("good 1"), "192.0.2.1");
  await assert.rejects(verifier.verify(await good("new"), "192.0.2.1"), {
    code: "rate_limited",
    retryable: true,
    retryAfterMs: 60_000,
  });
  await verifier.verify(await good("elsewhere"), "192.0.2.2");
  assert.equal(server.requests.user, 51);
  clock.advance(60_000);
  await verifier.verify(await hs256.sign(userClaims(clock.now())), "192.0.2.1");
});

Deno.test("[AU11] tokens that nobody was asked about do not drive out what is known", async () => {
  const { server, verifier } = world();
  await using _ = server;
  const good = await hs256.sign(plausible);
  await verifier.verify(good, "192.0.2.1");
  for (let index = 0; index < 1500; index++) {
    const token = await sharedSecret("guess").sign({ ...plausible, session_id: `${index}` });
    await assert.rejects(verifier.verify(token, "192.0.2.2"));
  }
  await verifier.verify(good, "192.0.2.1");
  assert.equal(server.requests.user, 21);
});

Deno.test("a token of the shared secret is asked about once in half a minute", async () => {
  const { server, verifier, clock } = world();
  await using _ = server;
  const good = await hs256.sign(plausible);
  const bad = await sharedSecret("another-secret").sign(plausible);
  await Promise.all(Array.from({ length: 10 }, () => verifier.verify(good)));
  for (let index = 0; index < 10; index++) await refuses(verifier, bad);
  assert.deepEqual(server.requests, { keySet: 0, user: 2, unknown: 0 });

  server.signedOut.add("11111111-1111-4111-8111-111111111111");
  await verifier.verify(good);
  clock.advance(30_000);
  await refuses(verifier, good);
});

Deno.test("a verdict is one token's, to the last character", async () => {
  const { server, verifier } = world();
  await using _ = server;
  const [header, claims, signature] = (await hs256.sign(plausible)).split(".");
  await verifier.verify(`${header}.${claims}.${signature}`);
  const [, others] = (await hs256.sign({ ...plausible, sub: "eve" })).split(".");
  await refuses(verifier, `${header}.${others}.${signature}`);
});

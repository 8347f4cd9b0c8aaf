/** The verifier for Supabase Auth against hostile tokens, and against failures of the auth server. */

import assert from "node:assert/strict";
import {
  createSupabaseVerifier,
  type SupabaseVerifierOptions,
} from "../../supabase/functions/_shared/platform/supabase_auth.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type { IdentityVerifier } from "../../supabase/functions/_shared/ports/identity.ts";
import { captureConsole } from "../support/capture_console.ts";
import { type AuthServer, type AuthServerMode, startAuthServer } from "../support/jwks_server.ts";
import { ManualClock } from "../support/manual_clock.ts";
import {
  asSecretTexts,
  sharedSecret,
  signingKey,
  type TokenSigner,
  unsigned,
  userClaims,
} from "../support/tokens.ts";
import { cannotCheck, refuses } from "../support/verifier_assertions.ts";

const SECRET = "a-secret-of-an-older-project-with-enough-characters";
const es256 = await signingKey("ES256", "key-es256");
const rs256 = await signingKey("RS256", "key-rs256");
const hs256 = sharedSecret(SECRET);
const now = new ManualClock().now();
const nowS = now / 1000;
/** The attacker's own key, with a key id of the project. */
const stolenName = await signingKey("ES256", "key-es256");

type MakeToken = () => string | Promise<string>;
const plausible = userClaims(now);

/** Tokens that are refused because of their signature. */
const REFUSED_BY_SIGNATURE: Readonly<Record<string, MakeToken>> = {
  "another's key under our name": () => stolenName.sign(plausible),
  "its own key in the header": () => stolenName.sign(plausible, { jwk: stolenName.jwk }),
  "the key of the other algorithm": () => es256.sign(plausible, { kid: "key-rs256" }),
  "the algorithm of the other key": () => rs256.sign(plausible, { kid: "key-es256" }),
  "alg exchanged for RS256": () => es256.sign(plausible, { alg: "RS256" }),
  "claims exchanged": async () => {
    const [header, , signature] = (await es256.sign(plausible)).split(".");
    const [, claims] = (await es256.sign({ ...plausible, sub: "eve" })).split(".");
    return `${header}.${claims}.${signature}`;
  },
  "the signature cut short": async () => (await es256.sign(plausible)).slice(0, -10),
  "a signature of zeros": async () => (await es256.sign(plausible)).replace(/[^.]*$/, "A".repeat(86)),
  "an unknown kid": async () => await (await signingKey("ES256", "no-such-key")).sign(plausible),
  "a kid from the prototype": () => es256.sign(plausible, { kid: "__proto__" }),
  "another shared secret": async () => await sharedSecret("another-secret").sign(plausible),
  "HS256 with a secret of one zero byte": async () => await sharedSecret("\0").sign(plausible),
  "HS256 with the name of a public key": () => sharedSecret("x").sign(plausible, { kid: "key-rs256" }),
  ...await keyAsSecret(es256),
  ...await keyAsSecret(rs256),
};

Deno.test("[AU3] what is wrong at sight costs no request, and is not logged", async () => {
  using captured = captureConsole();
  const { server, verifier } = world();
  await using _ = server;
  await refuses(verifier, "~~~ not a token ~~~");
  await refuses(verifier, `${unsigned(plausible, { alg: "none" })}AAAA`);
  await refuses(verifier, await es256.sign({ ...plausible, exp: nowS - 1 }));
  await refuses(verifier, await es256.sign({ ...plausible, nbf: nowS + 60 }));
  await refuses(verifier, await es256.sign({ ...plausible, iss: "https://example.clerk.accounts.dev" }));
  await refuses(verifier, await hs256.sign({ ...plausible, role: "service_role" }));
  await refuses(verifier, await hs256.sign({ ...plausible, note: "x".repeat(100_000) }));
  assert.deepEqual(server.requests, { keySet: 0, user: 0, unknown: 0 });
  assert.deepEqual(captured.lines, []);
});

Deno.test("[AU3] a wrong signature is refused, and not logged", async (t) => {
  using captured = captureConsole();
  const { server, verifier } = world();
  await using _ = server;
  for (const [name, make] of Object.entries(REFUSED_BY_SIGNATURE)) {
    await t.step(name, async () => void await refuses(verifier, await make()));
  }
  assert.equal(server.requests.keySet, 1);
  assert.equal(server.requests.unknown, 0);
  assert.deepEqual(captured.lines, []);
});

Deno.test("one request for the key set, however many connect at once", async () => {
  const { server, verifier, clock } = world({ apiKey: "sb_publishable_test" });
  await using _ = server;
  const tokens = await Promise.all(
    Array.from(
      { length: 100 },
      (_, index) => (index % 2 ? es256 : rs256).sign({ ...plausible, sub: `${index}` }),
    ),
  );
  await Promise.all(tokens.map((token) => verifier.verify(token)));
  assert.deepEqual(server.requests, { keySet: 1, user: 0, unknown: 0 });
  assert.deepEqual([...server.apiKeys], ["sb_publishable_test"]);
  assert.equal(clock.pending, 0, "a deadline timer was leaked");
});

Deno.test("made-up key ids cause one request in ten seconds", async () => {
  const { server, verifier, clock } = world();
  await using _ = server;
  for (let round = 1; round <= 3; round++) {
    for (let index = 0; index < 50; index++) {
      await refuses(verifier, await es256.sign(plausible, { kid: `made-up-${round}-${index}` }));
    }
    assert.deepEqual(server.requests, { keySet: round, user: 0, unknown: 0 });
    clock.advance(10_000);
  }
});

Deno.test("a new key is found, and one that was revoked is forgotten", async () => {
  const { server, verifier, clock } = world();
  await using _ = server;
  await verifier.verify(await es256.sign(userClaims(clock.now())));
  const next = await signingKey("ES256", "key-next");
  server.keys = [es256, next];
  clock.advance(10_000);
  await verifier.verify(await next.sign(userClaims(clock.now())));
  assert.equal(server.requests.keySet, 2);

  server.keys = [next];
  await verifier.verify(await es256.sign(userClaims(clock.now())));
  clock.advance(600_000);
  await refuses(verifier, await es256.sign(userClaims(clock.now())));
  assert.equal(server.requests.keySet, 3);
});

for (const mode of ["down", "silent", "stalling", "busy", "odd"] satisfies AuthServerMode[]) {
  Deno.test(`[AU3] an auth server that is ${mode} makes it unavailable, within the deadline`, async () => {
    using captured = captureConsole();
    await using server = startAuthServer({ keys: [es256], secret: SECRET });
    const verifier = createSupabaseVerifier({
      supabaseUrl: server.url,
      clock: systemClock(),
      timeoutMs: 100,
      hs256: "accept",
    });
    server.mode = mode;
    const started = performance.now();
    await cannotCheck(verifier, await es256.sign(userClaims(Date.now())));
    await cannotCheck(verifier, await hs256.sign(userClaims(Date.now())));
    assert.ok(performance.now() - started < 2000);
    assert.deepEqual(captured.lines, []);
  });
}

Deno.test("an answer without end is given up by its length, not only by the deadline", async () => {
  const { server, verifier, clock } = world();
  await using _ = server;
  server.mode = "endless";
  for (const token of [await es256.sign(plausible), await hs256.sign(plausible)]) {
    const { cause } = await cannotCheck(verifier, token);
    assert.match(String(cause), /The answer is longer than 1048576 characters/);
  }
  assert.equal(clock.pending, 0);
});

Deno.test("an auth server that is not there makes it unavailable, and is not asked by everyone", async () => {
  const { server, verifier, clock } = world();
  await server[Symbol.asyncDispose]();
  await cannotCheck(verifier, await es256.sign(plausible));
  await cannotCheck(verifier, await hs256.sign(plausible));

  await using again = startAuthServer({ keys: [es256] });
  again.mode = "down";
  const waiting = createSupabaseVerifier({ supabaseUrl: again.url, clock });
  const token = await es256.sign(plausible);
  for (let index = 0; index < 20; index++) await cannotCheck(waiting, token);
  assert.equal(again.requests.keySet, 1);
  again.mode = "up";
  clock.advance(1000);
  await waiting.verify(token);
});

Deno.test("a key set with keys of every kind still gives the ones it is for", async () => {
  const odd = [{ kty: "oct", kid: "secret", k: "AAAA" }, { kty: "EC" }, { kty: "OKP", kid: "ed" }];
  const encrypting = { ...stolenName.jwk, kid: "enc", use: "enc" };
  const broken = { ...es256.jwk, kid: "broken", x: "AAAA" };
  const { server, verifier } = world({}, [
    ...[...odd, encrypting, broken].map((jwk) => ({ ...es256, jwk })),
    es256,
  ]);
  await using _ = server;
  await verifier.verify(await es256.sign(plausible));
  await refuses(verifier, await sharedSecret("AAAA").sign(plausible, { kid: "secret" }));
  await refuses(verifier, await es256.sign(plausible, { kid: "ed" }));
  await refuses(verifier, await stolenName.sign(plausible, { kid: "enc" }));
  await refuses(verifier, await es256.sign(plausible, { kid: "broken" }));
});

interface World {
  server: AuthServer;
  verifier: IdentityVerifier;
  clock: ManualClock;
}

function world(
  options: Partial<SupabaseVerifierOptions> = {},
  keys: readonly TokenSigner[] = [es256, rs256],
): World {
  const server = startAuthServer({ keys, secret: SECRET });
  const clock = new ManualClock(now);
  return {
    server,
    clock,
    verifier: createSupabaseVerifier({ supabaseUrl: server.url, clock, hs256: "accept", ...options }),
  };
}

/** HS256 tokens signed with a public key, in every encoding that a confused verifier may take for a secret. */
async function keyAsSecret(signer: TokenSigner): Promise<Record<string, MakeToken>> {
  const kid = signer.jwk?.kid;
  const secrets = Object.entries(await asSecretTexts(signer));
  return Object.fromEntries(secrets.flatMap(([form, secret]): [string, MakeToken][] => [
    [`HS256 signed with the public ${kid} as ${form}`, () => sharedSecret(secret).sign(plausible)],
    [
      `HS256 signed with the public ${kid} as ${form}, under its kid`,
      () => sharedSecret(secret).sign(plausible, { kid }),
    ],
  ]));
}

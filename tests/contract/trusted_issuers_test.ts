/** Tokens of third-party providers, in the format of each provider and signed with jose, against real key sets. */

import assert from "node:assert/strict";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { createSupabaseVerifier } from "../../supabase/functions/_shared/platform/supabase_auth.ts";
import type { IdentityVerifier } from "../../supabase/functions/_shared/ports/identity.ts";
import { trustedIssuers } from "../../supabase/functions/_shared/trusted_issuers.ts";
import { type AuthServer, startAuthServer } from "../support/jwks_server.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { sharedSecret, signingKey, type TokenSigner, userClaims } from "../support/tokens.ts";
import { cannotCheck, refuses } from "../support/verifier_assertions.ts";

const now = new ManualClock().now();
const nowS = now / 1000;

interface Pair {
  privateKey: CryptoKey;
  jwk: Record<string, unknown>;
}

async function pair(alg: string, kid: string): Promise<Pair> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { privateKey, jwk: { ...await exportJWK(publicKey), kid, alg, use: "sig" } };
}
const KEYS = {
  RS256: await pair("RS256", "rs"),
  ES256: await pair("ES256", "es"),
  EdDSA: await pair("EdDSA", "ed"),
  RS512: await pair("RS512", "rs512"),
};
const own = await signingKey("ES256", "own");

async function sign(claims: JWTPayload, alg: keyof typeof KEYS = "RS256"): Promise<string> {
  const { privateKey, jwk } = KEYS[alg];
  return await new SignJWT(claims).setProtectedHeader({ alg, kid: String(jwk.kid), typ: "JWT" }).sign(
    privateKey,
  );
}

interface Provider {
  setting: Record<string, unknown>;
  /** The claims of its tokens, as its documentation shows them, plus the claim `role` from Supabase's guide. */
  claims: JWTPayload;
}

const times = { iat: nowS - 10, exp: nowS + 3600 };
const PROVIDERS: Readonly<Record<string, Provider>> = {
  Clerk: {
    setting: { clerk: "example.clerk.accounts.dev" },
    claims: {
      ...times,
      iss: "https://example.clerk.accounts.dev",
      sub: "user_2abc",
      azp: "https://app.example.com",
      sid: "sess_1",
      fva: [0, -1],
      nbf: nowS - 20,
      v: 2,
      role: "authenticated",
    },
  },
  Auth0: {
    setting: { auth0: "example.eu.auth0.com", audience: "k1PfzXq" },
    claims: {
      ...times,
      iss: "https://example.eu.auth0.com/",
      sub: "auth0|5f7c8ec7c33c6c004bbafe82",
      aud: ["k1PfzXq", "https://example.eu.auth0.com/userinfo"],
      azp: "k1PfzXq",
      scope: "openid profile",
      role: "authenticated",
    },
  },
  Firebase: {
    setting: { firebase: "my-project" },
    claims: {
      ...times,
      iss: "https://securetoken.google.com/my-project",
      aud: "my-project",
      sub: "8fJ3kQ",
      user_id: "8fJ3kQ",
      auth_time: nowS - 10,
      firebase: { identities: {}, sign_in_provider: "anonymous" },
      role: "authenticated",
    },
  },
  WorkOS: {
    setting: { workos: "client_01HXYZ" },
    claims: {
      ...times,
      iss: "https://api.workos.com/user_management/client_01HXYZ",
      sub: "user_01HBEQ",
      sid: "session_01HQ",
      org_id: "org_01HR",
      role: "authenticated",
      user_role: "member",
      permissions: ["posts:read"],
    },
  },
  "any other": {
    setting: { issuer: "https://id.example.com/realms/main", audience: "api" },
    claims: {
      ...times,
      iss: "https://id.example.com/realms/main",
      sub: "f:1:ada",
      aud: "api",
      role: "authenticated",
      app_metadata: { agent_activity: "all" },
    },
  },
};

/** The claims without one of them. */
function without(claims: JWTPayload, name: string): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([each]) => each !== name));
}

interface World extends AsyncDisposable {
  provider: AuthServer;
  project: AuthServer;
  verifier: IdentityVerifier;
  clock: ManualClock;
}

/** The key sets of the issuers are served on this machine. Everything else follows the settings. */
function world(...settings: Record<string, unknown>[]): World {
  const keys: TokenSigner[] = Object.values(KEYS).map(({ jwk }) => ({ jwk, sign: () => assert.fail() }));
  const provider = startAuthServer({ keys });
  const project = startAuthServer({ keys: [own] });
  const clock = new ManualClock(now);
  const issuers = trustedIssuers(JSON.stringify(settings));
  return {
    provider,
    project,
    clock,
    verifier: createSupabaseVerifier({
      supabaseUrl: project.url,
      apiKey: "sb_publishable_test",
      trustedIssuers: issuers.map((issuer) => ({ ...issuer, jwksUrl: `${provider.url}/jwks` })),
      clock,
    }),
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([provider[Symbol.asyncDispose](), project[Symbol.asyncDispose]()]);
    },
  };
}

for (const [name, { setting, claims }] of Object.entries(PROVIDERS)) {
  Deno.test(`[AU10] a user of ${name} is known by their token, and the project is not asked`, async () => {
    await using tested = world(setting);
    const { verifier, provider, project } = tested;
    for (const alg of ["RS256", "ES256", "EdDSA"] as const) {
      assert.deepEqual(await verifier.verify(await sign(claims, alg)), {
        userId: claims.sub,
        expiresAt: (nowS + 3600) * 1000,
        appMetadata: claims.app_metadata ?? {},
      });
    }
    assert.deepEqual(provider.requests, { keySet: 1, user: 0, unknown: 0 });
    assert.deepEqual(project.requests, { keySet: 0, user: 0, unknown: 0 });
    assert.deepEqual([...provider.apiKeys], [""], "our API key must not be sent to other issuers");
    // The project's own users are still accepted.
    await verifier.verify(await own.sign(userClaims(now)));
  });

  Deno.test(`[AU10] a token of ${name} is checked as strictly as our own`, async () => {
    await using tested = world(setting);
    const { verifier, provider, project } = tested;
    const { iss = "", aud } = claims;
    const bad: Record<string, JWTPayload> = {
      "expired": { ...claims, exp: nowS - 1 },
      "without an end": without(claims, "exp"),
      "not yet valid": { ...claims, nbf: nowS + 60 },
      "issued in the future": { ...claims, iat: nowS + 60 },
      "for somebody else": { ...claims, aud: "another" },
      "for a list of others": { ...claims, aud: ["another"] },
      ...(aud === undefined ? {} : { "for nobody": without(claims, "aud") }),
      "without a role": without(claims, "role"),
      "of the service role": { ...claims, role: "service_role" },
      "of nobody": without(claims, "sub"),
      "of nobody by name": { ...claims, sub: "" },
      "of a user with a zero byte": { ...claims, sub: "a\0b" },
      "of another issuer": { ...claims, iss: "https://evil.example.com" },
      "of an issuer with a slash more or less": {
        ...claims,
        iss: iss.endsWith("/") ? iss.slice(0, -1) : `${iss}/`,
      },
      "of an issuer in capitals": { ...claims, iss: iss.toUpperCase() },
      "of the project": { ...claims, iss: `${project.url}/auth/v1`, aud: "authenticated" },
      "of no issuer": without(claims, "iss"),
    };
    for (const [what, changed] of Object.entries(bad)) {
      await refuses(verifier, await sign(changed)).catch((error) => {
        throw new Error(`A token ${what}`, { cause: error });
      });
    }
    await refuses(verifier, await sign(claims, "RS512"));
    // With a shared secret, an unknown key, a key of another algorithm, the project's key.
    await refuses(verifier, await sharedSecret("guess").sign(claims));
    await refuses(verifier, await sharedSecret(JSON.stringify(KEYS.RS256.jwk)).sign(claims, { kid: "rs" }));
    await refuses(verifier, await (await signingKey("ES256", "es")).sign(claims));
    await refuses(verifier, await own.sign(claims));
    await refuses(verifier, await own.sign(claims, { kid: "rs" }));
    await refuses(verifier, (await sign(claims)).replace(/\.[^.]*$/, ".AAAA"));
    assert.equal(provider.requests.user + project.requests.user, 0);
    assert.equal(provider.requests.keySet, 1);
  });
}

Deno.test("[AU10] made-up key ids cause one request to the issuer in ten seconds, and an issuer that is away refuses nobody", async () => {
  const { setting, claims } = PROVIDERS.Clerk ?? assert.fail();
  await using tested = world(setting);
  const { verifier, provider, clock } = tested;
  for (let index = 0; index < 50; index++) {
    await refuses(verifier, await own.sign(claims, { kid: `made-up-${index}` }));
  }
  assert.equal(provider.requests.keySet, 1);
  provider.mode = "down";
  clock.advance(600_000);
  await cannotCheck(verifier, await sign(claims));
  for (let index = 0; index < 20; index++) await cannotCheck(verifier, await sign(claims));
  assert.equal(provider.requests.keySet, 2);
  provider.mode = "old";
  clock.advance(1000);
  await cannotCheck(verifier, await sign(claims));
  provider.mode = "endless";
  clock.advance(1000);
  await cannotCheck(verifier, await sign(claims));
  provider.mode = "up";
  clock.advance(1000);
  await verifier.verify(await sign(claims));
});

Deno.test("[AU10] RSA keys of fewer than 2048 bits count for nothing", async () => {
  const { setting, claims } = PROVIDERS.Clerk ?? assert.fail();
  await using tested = world(setting);
  const { verifier, provider } = tested;
  const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", publicExponent: new Uint8Array([1, 0, 1]) };
  const short = await crypto.subtle.generateKey({ ...rsa, modulusLength: 1024 }, true, ["sign", "verify"]);
  const jwk = { ...await crypto.subtle.exportKey("jwk", short.publicKey), kid: "short" };
  provider.keys = [{ jwk, sign: () => assert.fail() }];
  const text = (value: unknown): string =>
    btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const signed = `${text({ alg: "RS256", kid: "short" })}.${text(claims)}`;
  const signature = await crypto.subtle.sign(rsa.name, short.privateKey, new TextEncoder().encode(signed));
  await refuses(
    verifier,
    `${signed}.${
      btoa(String.fromCharCode(...new Uint8Array(signature))).replaceAll("+", "-").replaceAll("/", "_")
        .replaceAll("=", "")
    }`,
  );
});

Deno.test("[AU12] users of two issuers never have the same id, whatever their tokens say", async () => {
  const clerk = PROVIDERS.Clerk ?? assert.fail();
  const workos = PROVIDERS.WorkOS ?? assert.fail();
  await using tested = world(clerk.setting, { ...workos.setting, prefix: "workos" });
  const { verifier } = tested;
  const uuid = crypto.randomUUID();
  const idOf = async (token: Promise<string>): Promise<string> => (await verifier.verify(await token)).userId;
  assert.equal(await idOf(sign({ ...clerk.claims, sub: "same" })), "same");
  assert.equal(await idOf(sign({ ...workos.claims, sub: "same" })), "workos:same");
  assert.equal(await idOf(sign({ ...workos.claims, sub: uuid })), `workos:${uuid}`);
  assert.equal(await idOf(own.sign(userClaims(now, { sub: uuid }))), uuid);
  // An issuer without a prefix cannot use an id that could belong to another issuer. The project can use only its own
  // ids.
  for (const sub of [uuid, uuid.toUpperCase(), "workos:same", "anonymous"]) {
    await refuses(verifier, await sign({ ...clerk.claims, sub }));
  }
  for (const sub of ["same", "workos:same", "user_2abc"]) {
    await refuses(verifier, await own.sign(userClaims(now, { sub })));
  }
});

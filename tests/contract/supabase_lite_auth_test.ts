/** The verifier for Supabase Auth against the auth server of Supabase Lite, whose tokens are HS256. */

import assert from "node:assert/strict";
import { createKeys } from "../../local/keys.ts";
import { startSupabaseLite } from "../../local/supabase_lite.ts";
import { createSupabaseVerifier } from "../../supabase/functions/_shared/platform/supabase_auth.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import { sharedSecret, signingKey, userClaims } from "../support/tokens.ts";
import { refuses } from "../support/verifier_assertions.ts";

Deno.test("Supabase Lite: who signed up is known by the token, and nobody else by another", async () => {
  const keys = await createKeys({});
  const lite = await startSupabaseLite({
    keys,
    url: "http://127.0.0.1",
    databaseUrl: undefined,
    migrations: new URL("./no-migrations/", import.meta.url),
  });
  try {
    const url = `http://127.0.0.1:${await lite.port}`;
    const signedUp = await fetch(`${url}/auth/v1/signup`, {
      method: "POST",
      headers: { apikey: keys.publishableKey, "content-type": "application/json" },
      body: JSON.stringify({ email: "ada@example.com", password: "correct horse battery staple" }),
    });
    const { access_token: token, expires_in: expiresIn, user } = await signedUp.json();
    const verifier = createSupabaseVerifier({
      supabaseUrl: url,
      apiKey: keys.publishableKey,
      clock: systemClock(),
    });

    const verified = await verifier.verify(token);
    assert.equal(verified.userId, user.id);
    assert.ok(Math.abs(verified.expiresAt - Date.now() - expiresIn * 1000) < 10_000);

    const claims = userClaims(Date.now(), { sub: user.id });
    await refuses(verifier, await sharedSecret("another secret of at least 32 characters").sign(claims));
    await refuses(verifier, token.replace(/\.[^.]*$/, `.${"A".repeat(43)}`));
    await refuses(verifier, await (await signingKey("ES256", "not-lites")).sign(claims));
    await refuses(verifier, keys.anonKey);
    await refuses(verifier, keys.serviceRoleKey);
  } finally {
    lite.stop();
  }
});

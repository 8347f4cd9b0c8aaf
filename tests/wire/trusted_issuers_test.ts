/** Users of a third-party provider on the whole local stack, together with the project's own users. */

import assert from "node:assert/strict";
import { connect } from "../support/agent_client.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { startAuthServer } from "../support/jwks_server.ts";
import { withLocalStack } from "../support/local_stack.ts";
import { type Claims, signingKey } from "../support/tokens.ts";

Deno.test("[AU10] [AU12] [RS5] a user of Clerk asks and resumes by their token; the project's users and others are told apart", async () => {
  await using model = new HandModel({ respond: echo });
  const key = await signingKey("RS256", "ins_1");
  await using provider = startAuthServer({ keys: [key] });
  const env = {
    AUTH_MODE: "required",
    TRUSTED_ISSUERS: JSON.stringify([{ clerk: "example.clerk.accounts.dev", jwks: `${provider.url}/jwks` }]),
  };
  await withLocalStack({ testHooks: true, model: { baseUrl: model.baseUrl }, env }, async (stack) => {
    const url = `${stack.wsUrl}/functions/v1/agent_websocket`;
    const now = Math.floor(Date.now() / 1000);
    const clerk = (claims: Claims = {}): Promise<string> =>
      key.sign({
        iss: "https://example.clerk.accounts.dev",
        sub: "user_2abc",
        role: "authenticated",
        iat: now,
        exp: now + 60,
        ...claims,
      });
    const withToken = (token: string): { protocols: string[] } => ({
      protocols: ["agent-websocket.v1", `jwt-${token}`],
    });

    await using client = await connect(url, withToken(await clerk()));
    assert.equal((await client.answer("hello")).content, "You said: hello");
    const query = new URLSearchParams({ session_id: String(client.welcome.session_id), last_seq: "0" });
    await using again = await connect(`${url}?${query}`, withToken(await clerk({ exp: now + 120 })));
    assert.deepEqual(again.welcome.resumed, { recovered: true, from_seq: 1, to_seq: 2 });
    await client.command("auth", { token: await clerk({ exp: now + 180 }) });

    const refused: Record<string, string> = {
      "with an id of the project's": await clerk({ sub: crypto.randomUUID() }),
      "for somebody else": await clerk({ aud: "another" }),
      "of an issuer that is not trusted, with the stack's own key": await stack.token({
        claims: { iss: "https://other.clerk.accounts.dev" },
      }),
      "of a trusted issuer, with the stack's own key": await stack.token({
        claims: { iss: "https://example.clerk.accounts.dev", sub: "user_2abc" },
      }),
    };
    for (const [what, token] of Object.entries(refused)) {
      const stranger = await connect(url, { ...withToken(token), welcomed: false });
      assert.equal((await stranger.end()).code, 4001, what);
    }
    // The project's own users are still accepted, and the session is not theirs.
    await using own = await connect(`${url}?${query}`, withToken(await stack.token()));
    assert.match(JSON.stringify(own.welcome.resumed), /"recovered":false.*"reason":"unknown_session"/);
  });
});

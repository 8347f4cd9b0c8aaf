/** Tokens on a live socket, in real time: renewed, refused, replaced by another user's token, and expired. */

import assert from "node:assert/strict";
import { HandModel } from "../support/hand_model.ts";
import { type TestStack, withLocalStack } from "../support/local_stack.ts";
import { type AgentClient, connect, of, terminal } from "../support/agent_client.ts";

async function enter(stack: TestStack, token: string, query = ""): Promise<AgentClient> {
  const url = `${stack.wsUrl}/functions/v1/agent_websocket${query}`;
  return await connect(url, { protocols: ["agent-websocket.v1", `jwt-${token}`] });
}

function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

Deno.test("[AU6] [AU7] [AU9] a token is renewed on a live socket; a bad one changes nothing; another's ends it", async () => {
  const env = { AUTH_MODE: "required", RATE_LIMIT_PER_MINUTE: "0" };
  await withLocalStack({ testHooks: true, env }, async (stack) => {
    const sub = crypto.randomUUID();
    const good = await stack.token({ claims: { sub } });
    // Also with another algorithm of the same project. Its key must exist before the worker fetches the key set.
    const tokens = [
      await stack.token({ claims: { sub } }),
      await stack.token({ alg: "RS256", claims: { sub } }),
    ];
    const client = await enter(stack, good);
    for (const token of tokens) {
      const renewed = await client.command("auth", { token });
      assert.equal(renewed.code, "auth_ok");
      assert.equal(renewed.type, "status");
    }
    const bad = [
      await stack.token({ key: "wrong", claims: { sub } }),
      await stack.token({ alg: "none", claims: { sub } }),
      await stack.token({ claims: { sub, exp: inSeconds(-1) } }),
    ];
    for (const token of bad) {
      assert.equal((await client.command("auth", { token })).code, "unauthorized");
    }
    assert.equal((await client.command("auth", {})).code, "invalid_args");
    assert.equal((await client.command("ping")).code, "pong");

    const others = await stack.token();
    client.send({ type: "command", content: "auth", id: "other", args: { token: others } });
    assert.deepEqual(await client.end(), { code: 4003, reason: "Forbidden" });
    const last = client.frames.at(-1);
    assert.equal(last?.code, "forbidden");
    assert.equal(last?.in_reply_to, "other");
    const logs = stack.workerLogs.join("\n");
    for (const token of [good, ...tokens, ...bad, others]) {
      assert.ok(!logs.includes(token.split(".")[1] ?? ""), "a token is in the log");
    }
  });
});

Deno.test("[AU8] [AU6] [QU9] a token that ends is announced, renewed in time or the end; a running answer goes on", async () => {
  await using model = new HandModel();
  const options = {
    model: { baseUrl: model.baseUrl },
    env: { AUTH_MODE: "required", TOKEN_EXPIRY_NOTICE_MS: "3000" },
  };
  await withLocalStack(options, async (stack) => {
    const sub = crypto.randomUUID();
    const exp = inSeconds(6);
    const token = await stack.token({ claims: { sub, exp } });
    await using leaving = await enter(stack, token, "?stream=true");
    await using staying = await enter(stack, token);
    const id = leaving.ask("a story");
    const exchange = await model.next();
    exchange.say("Once ");
    await leaving.waitFor(of("delta"));

    for (const client of [leaving, staying]) {
      const notice = await client.waitFor(of("notification", "token_expiring"));
      assert.deepEqual(notice.data, { expires_at: new Date(exp * 1000).toISOString() });
      assert.ok(Date.now() < exp * 1000, "the notice comes before the token expires");
    }
    const renewed = await stack.token({ claims: { sub } });
    assert.equal((await staying.command("auth", { token: renewed })).code, "auth_ok");
    assert.deepEqual(await leaving.end(), { code: 4001, reason: "Token expired" });
    assert.ok(Date.now() >= exp * 1000, "the close comes after the token has expired");
    assert.equal(leaving.frames.at(-1)?.code, "unauthorized");
    assert.equal((await staying.command("ping")).code, "pong");

    exchange.say("upon a time.");
    exchange.finish();
    await using again = await enter(stack, renewed, `?${leaving.resumeQuery()}`);
    assert.equal((await again.waitFor(terminal(id))).content, "Once upon a time.");
    assert.equal(model.exchanges.length, 1);
  });
});

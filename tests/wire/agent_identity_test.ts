/** Authentication on the whole local stack: real accounts, real signatures, and every way to send a token. */

import assert from "node:assert/strict";
import { echo, HandModel } from "../support/hand_model.ts";
import { type TestStack, withLocalStack } from "../support/local_stack.ts";
import { type AgentClient, connect, type ConnectOptions, of } from "../support/agent_client.ts";
import { signUp } from "../support/sign_up.ts";

const SUBPROTOCOL = "agent-websocket.v1";
/** The text of a user's query. No log line may contain it. */
const SECRET_TEXT = "my cat is called Schrödinger";

/** The ways to send a token with the upgrade. */
const CARRIERS: Readonly<Record<string, (token: string) => ConnectOptions & { query?: string }>> = {
  header: (token) => ({ headers: { authorization: `Bearer ${token}` } }),
  subprotocol: (token) => ({ protocols: [SUBPROTOCOL, `jwt-${token}`] }),
  query: (token) => ({ query: `?jwt=${encodeURIComponent(token)}` }),
};

type Carrier = ReturnType<(typeof CARRIERS)[string]>;

function agentUrl({ wsUrl }: TestStack): string {
  return `${wsUrl}/functions/v1/agent_websocket`;
}

async function enter(stack: TestStack, carrier: Carrier): Promise<AgentClient> {
  return await connect(agentUrl(stack) + (carrier.query ?? ""), carrier);
}

/** Connects with an invalid token, and returns the reason of the refusal. */
async function refusal(stack: TestStack, carrier: Carrier): Promise<string> {
  const client = await connect(agentUrl(stack) + (carrier.query ?? ""), { ...carrier, welcomed: false });
  assert.deepEqual(await client.end(), { code: 4001, reason: "Unauthorized" });
  const [frame, ...more] = client.frames;
  assert.deepEqual(more, []);
  assert.equal(frame?.type, "error");
  assert.equal(frame?.code, "unauthorized");
  assert.equal(frame?.retryable, false);
  return frame.content;
}

/** Tokens that must be refused, by what is wrong with them. */
async function badTokens(stack: TestStack, signedUp: string): Promise<Record<string, string>> {
  const now = Math.floor(Date.now() / 1000);
  const good = await stack.token();
  const [header = "", payload = "", signature = ""] = good.split(".");
  const other = (await stack.token()).split(".");
  return {
    "expired": await stack.token({ claims: { exp: now - 1 } }),
    "expired, HS256": await stack.token({ alg: "HS256", claims: { exp: now - 1 } }),
    "not yet valid": await stack.token({ claims: { nbf: now + 3600 } }),
    "issued in the future": await stack.token({ claims: { iat: now + 3600 } }),
    "without an end": await stack.token({ claims: { exp: null } }),
    "signed by a wrong key": await stack.token({ key: "wrong" }),
    "signed by a wrong secret": await stack.token({ alg: "HS256", key: "wrong" }),
    "signed by a key that nobody knows": await stack.token({ key: "wrong", kid: crypto.randomUUID() }),
    "without a key's name": await stack.token({ kid: null }),
    "unsigned": await stack.token({ alg: "none" }),
    "unsigned, with a signature": `${await stack.token({ alg: "none" })}${signature}`,
    "HS256 by the public key as PEM": await stack.token({ alg: "HS256", key: "public_pem" }),
    "HS256 by the public key as JWK": await stack.token({ alg: "HS256", key: "public_jwk" }),
    "HS256 by the public key's bytes": await stack.token({ alg: "HS256", key: "public_raw" }),
    "for another audience": await stack.token({ claims: { aud: "somebody-else" } }),
    "for no audience": await stack.token({ claims: { aud: null } }),
    "of another role": await stack.token({ claims: { role: "service_role" } }),
    "of nobody": await stack.token({ claims: { sub: null } }),
    "with another's claims": `${header}.${other[1]}.${signature}`,
    "truncated in its signature": good.slice(0, -10),
    "truncated after its claims": `${header}.${payload}.`,
    "truncated in its claims": good.slice(0, header.length + 20),
    "truncated, of one who signed up": signedUp.slice(0, -10),
    "the secret key": stack.keys.secretKey,
    "the service role's key": stack.keys.serviceRoleKey,
    "no token at all": "undefined",
    "empty": "",
  };
}

/** Asserts that no log line contains a token, or the beginning or end of its payload or signature. */
function assertNotLogged(stack: TestStack, tokens: Iterable<string>): void {
  const lines = stack.workerLogs.join("\n");
  for (const token of tokens) {
    for (const part of [token, ...token.split(".").slice(1)]) {
      if (part.length < 20) continue;
      for (const piece of [part.slice(0, 16), part.slice(-16)]) {
        assert.ok(!lines.includes(piece), `the log has ${piece}`);
      }
    }
  }
}

/** Every log line of the function is one JSON object with a fixed event name. */
function assertOneObjectALine(stack: TestStack): void {
  const lines = stack.workerLogs.filter((line) => line.startsWith("[agent_websocket#"));
  assert.ok(lines.length > 10);
  for (const line of lines) {
    const entry = JSON.parse(line.slice(line.indexOf("] ") + 2));
    assert.match(entry.event, /^[a-z_]+$/);
    assert.match(entry.level, /^(debug|info|warn|error)$/);
    assert.ok(!Number.isNaN(Date.parse(entry.time)));
  }
}

Deno.test("[AU1] [AU2] [AU3] [AU9] [HS4] [OP4] good tokens come in each way, bad ones in none, and none is logged", async () => {
  await using model = new HandModel({ respond: echo });
  const options = {
    lite: true,
    testHooks: true,
    model: { baseUrl: model.baseUrl },
    env: { AUTH_MODE: "required" },
  };
  await withLocalStack(options, async (stack) => {
    const signedUp = await signUp(stack);
    const es256 = await stack.token();
    for (const token of [signedUp, es256]) {
      for (const [name, carry] of Object.entries(CARRIERS)) {
        await using client = await enter(stack, carry(token));
        assert.equal(client.welcome.resume_token, undefined, "accepted as a user");
        assert.equal(client.socket.protocol, name === "subprotocol" ? SUBPROTOCOL : "");
        assert.equal((await client.answer(SECRET_TEXT)).content, `You said: ${SECRET_TEXT}`);
        assert.doesNotMatch(JSON.stringify(client.frames), /eyJ/);
      }
    }

    const bad = await badTokens(stack, signedUp);
    for (const [what, token] of Object.entries(bad)) {
      for (const [name, carry] of Object.entries(CARRIERS)) {
        const words = await refusal(stack, carry(token)).catch((error) => {
          throw new Error(`A token that is ${what}, by ${name}`, { cause: error });
        });
        if (token.length >= 20) assert.ok(!words.includes(token.slice(-20)), words);
      }
    }
    // The first token found decides, valid or not.
    const both = { headers: { authorization: `Bearer ${bad.expired}` }, query: `?jwt=${es256}` };
    await refusal(stack, both);
    await using first = await enter(stack, { ...CARRIERS.header?.(es256), query: `?jwt=${bad.expired}` });
    assert.equal((await first.command("ping")).code, "pong");

    assertNotLogged(stack, [signedUp, es256, ...Object.values(bad)]);
    assertOneObjectALine(stack);
    assert.ok(!stack.workerLogs.some((line) => line.includes("Schr")), "what a user says is not logged");
  });
});

Deno.test("[AU5] [AU3] [AU9] under `required` the first frame may say who it is, once and in time", async () => {
  const env = { AUTH_MODE: "required", AUTH_TIMEOUT_MS: "3000", RATE_LIMIT_PER_MINUTE: "0" };
  await withLocalStack({ lite: true, env }, async (stack) => {
    const signedUp = await signUp(stack);
    const authenticate = (token: string): Record<string, unknown> => ({
      type: "command",
      content: "auth",
      args: { token },
    });
    for (const token of [signedUp, await stack.token()]) {
      await using client = await connect(agentUrl(stack), { welcomed: false });
      client.send({ type: "query", content: "let me in" });
      assert.equal((await client.waitFor(of("error"))).code, "unauthorized");
      client.send(authenticate(token));
      const welcome = await client.waitFor(of("notification", "connected"));
      assert.equal(welcome.resume_token, undefined);
      assert.equal((await client.command("ping")).code, "pong");
      assert.equal(client.frames.length, 3);
    }

    // A publishable key does not identify a user. It is not refused; the client is asked to authenticate.
    await using publishable = await connect(`${agentUrl(stack)}?jwt=${stack.keys.publishableKey}`, {
      welcomed: false,
    });
    publishable.send(authenticate(signedUp));
    await publishable.waitFor(of("notification", "connected"));

    const bad = await badTokens(stack, signedUp);
    for (const [what, token] of Object.entries(bad)) {
      // An empty token is not a valid argument, so the frame is refused, not the token.
      if (token === "") continue;
      const client = await connect(agentUrl(stack), { welcomed: false });
      client.send(authenticate(token));
      assert.deepEqual(await client.end(), { code: 4001, reason: "Unauthorized" }, what);
      assert.deepEqual(client.frames.map(({ code }) => code), ["unauthorized"], what);
    }

    const silent = await connect(agentUrl(stack), { welcomed: false });
    const before = performance.now();
    assert.deepEqual(await silent.end(), { code: 4001, reason: "Unauthorized" });
    assert.ok(performance.now() - before > 500, "closed before the time to authenticate was over");
    assertNotLogged(stack, [signedUp, ...Object.values(bad)]);
  });
});

Deno.test("[AU2] [AU3] [AU4] [RS3] [RS5] under `optional` nobody is turned away but a bad token, and sessions are their owner's", async () => {
  await withLocalStack({ env: { AUTH_MODE: "optional" } }, async (stack) => {
    const { publishableKey, anonKey } = stack.keys;
    const strangers: Carrier[] = [
      {},
      ...[publishableKey, anonKey].flatMap((key) => Object.values(CARRIERS).map((carry) => carry(key))),
    ];
    for (const carrier of strangers) {
      await using client = await enter(stack, carrier);
      assert.equal(typeof client.welcome.resume_token, "string", "accepted as an anonymous client");
    }
    for (
      const token of [
        "",
        "undefined",
        await stack.token({ key: "wrong" }),
        await stack.token({ alg: "none" }),
      ]
    ) {
      for (const carry of Object.values(CARRIERS)) await refusal(stack, carry(token));
    }

    const sub = crypto.randomUUID();
    await using owner = await enter(stack, {
      headers: { authorization: `Bearer ${await stack.token({ claims: { sub } })}` },
    });
    const query = `?${owner.resumeQuery()}`;
    await using again = await enter(stack, {
      query,
      headers: { authorization: `Bearer ${await stack.token({ claims: { sub } })}` },
    });
    assert.equal(again.welcome.session_id, owner.welcome.session_id);
    assert.deepEqual(again.welcome.resumed, { recovered: true, from_seq: 1, to_seq: 0 });
    const unknown = `?session_id=${crypto.randomUUID()}&last_seq=0`;
    const other = { authorization: `Bearer ${await stack.token()}` };
    const verdicts = [];
    for (const [headers, asked] of [[other, query], [other, unknown], [{}, query], [{}, unknown]] as const) {
      await using client = await enter(stack, { headers, query: asked });
      assert.notEqual(client.welcome.session_id, owner.welcome.session_id);
      verdicts.push(client.welcome.resumed);
    }
    const [verdict] = verdicts;
    assert.deepEqual(verdict, { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" });
    for (const one of verdicts) assert.deepEqual(one, verdict, "the refusals differ");
  });
});

/**
 * The parts of the local stack other than the functions: Auth, signing keys, tokens, the model, the page's
 * configuration.
 */

import assert from "node:assert/strict";
import { ANCHOR_REQUEST } from "../../supabase/functions/_shared/openrouter/continuation/ways.ts";
import { createOpenRouter } from "../../supabase/functions/_shared/openrouter/open_router.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type { ModelMessage, ModelReply } from "../../supabase/functions/_shared/ports/model.ts";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { EventSourceParserStream } from "eventsource-parser/stream";
import * as jose from "jose";
import * as z from "zod";
import { eventually, FIXTURE_FUNCTIONS, type TestStack, withLocalStack } from "../support/local_stack.ts";

const functions = FIXTURE_FUNCTIONS;

function supabase({ url, keys }: TestStack): SupabaseClient {
  return createClient(url, keys.publishableKey, { auth: { persistSession: false, autoRefreshToken: false } });
}

Deno.test("local stack: an account made with supabase-js gets a token that getClaims accepts, HS256 and ES256", async () => {
  await withLocalStack({ functions }, async (stack) => {
    const off = await fetch(`${stack.url}/auth/v1/health`);
    assert.equal(off.status, 501);
    assert.equal((await off.json()).code, "LITE_OFF");
  });
  await withLocalStack({ functions, lite: true, pglite: true }, async (stack) => {
    const client = supabase(stack);
    // Without waiting: the first request waits for Lite itself.
    const { data, error } = await client.auth.signUp({ email: "ines@example.com", password: "secret-123" });
    assert.equal(error, null);
    const shared = await client.auth.getClaims(data.session?.access_token);
    assert.equal(shared.error, null);
    assert.equal(shared.data?.claims.sub, data.user?.id);
    assert.equal(shared.data?.header.alg, "HS256");
    const forged = await stack.token({ alg: "HS256", key: "wrong" });
    assert.ok((await client.auth.getClaims(forged)).error);

    const sub = crypto.randomUUID();
    const signed = await client.auth.getClaims(await stack.token({ claims: { sub } }));
    assert.equal(signed.data?.claims.sub, sub);
    assert.equal(signed.data?.header.alg, "ES256");
    assert.ok((await client.auth.getClaims(await stack.token({ key: "wrong" }))).error);

    const preflight = await fetch(`${stack.url}/auth/v1/signup`, {
      method: "OPTIONS",
      headers: { origin: "http://localhost:5173", "access-control-request-headers": "apikey,content-type" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
    assert.equal(preflight.headers.get("access-control-allow-headers"), "apikey,content-type");
    const nobody = await fetch(`${stack.url}/auth/v1/user`, { headers: { origin: "http://localhost:5173" } });
    await nobody.body?.cancel();
    assert.equal(nobody.status, 401);
    assert.equal(nobody.headers.get("access-control-allow-origin"), "*");
  });
});

Deno.test("local stack: the token hook signs what is good and what is not", async () => {
  await withLocalStack({ functions, testHooks: true }, async (stack) => {
    const keySet = jose.createRemoteJWKSet(new URL(`${stack.url}/auth/v1/.well-known/jwks.json`), {
      cooldownDuration: 0,
    });
    const token = async (request: unknown): Promise<string> => {
      const response = await fetch(`${stack.url}/__local/token`, {
        method: "POST",
        body: JSON.stringify(request),
      });
      assert.equal(response.status, 200);
      return (await response.json()).token;
    };
    const verify = async (request: unknown): Promise<jose.JWTVerifyResult> =>
      await jose.jwtVerify(await token(request), keySet, { audience: "authenticated" });

    const { payload, protectedHeader } = await verify({});
    const lifetime = (payload.exp ?? 0) - (payload.iat ?? 0);
    assert.deepEqual(
      { alg: protectedHeader.alg, kid: protectedHeader.kid, iss: payload.iss, role: payload.role, lifetime },
      {
        alg: "ES256",
        kid: stack.keys.es256.kid,
        iss: `${stack.url}/auth/v1`,
        role: "authenticated",
        lifetime: 3600,
      },
    );
    assert.equal((await verify({ alg: "RS256", claims: { sub: "me" } })).payload.sub, "me");
    assert.equal((await verify({ claims: { exp: null } })).payload.exp, undefined);

    const now = Math.floor(Date.now() / 1000);
    await assert.rejects(verify({ claims: { exp: now - 1 } }), jose.errors.JWTExpired);
    await assert.rejects(verify({ claims: { nbf: now + 60 } }), jose.errors.JWTClaimValidationFailed);
    await assert.rejects(verify({ claims: { aud: "others" } }), jose.errors.JWTClaimValidationFailed);
    await assert.rejects(verify({ key: "wrong" }), jose.errors.JWSSignatureVerificationFailed);
    await assert.rejects(verify({ kid: "unknown" }), jose.errors.JWKSNoMatchingKey);

    const secret = new TextEncoder().encode(stack.keys.jwtSecret);
    const shared = await jose.jwtVerify(await token({ alg: "HS256" }), secret);
    assert.equal(shared.protectedHeader.kid, undefined);
    await assert.rejects(
      jose.jwtVerify(await token({ alg: "HS256", key: "wrong" }), secret),
      jose.errors.JWSSignatureVerificationFailed,
    );
    const pem = new TextEncoder().encode(await jose.exportSPKI(stack.keys.es256.publicKey));
    const confused = await token({ alg: "HS256", key: "public_pem", kid: stack.keys.es256.kid });
    assert.equal((await jose.jwtVerify(confused, pem)).protectedHeader.kid, stack.keys.es256.kid);
    for (const key of ["public_jwk", "public_raw"]) {
      assert.match(await token({ alg: "HS256", key }), /^[\w.-]+$/);
    }

    const unsigned = await token({ alg: "none", claims: { sub: "me" } });
    assert.match(unsigned, /\.$/);
    assert.equal(jose.decodeJwt(unsigned).sub, "me");
    assert.equal(jose.decodeProtectedHeader(unsigned).alg, "none");

    for (const wrong of [`{"alg": "HS512"}`, `{"claim": {}}`, "nonsense"]) {
      const response = await fetch(`${stack.url}/__local/token`, { method: "POST", body: wrong });
      assert.equal(response.status, 400);
      assert.equal((await response.json()).code, "BAD_REQUEST");
    }
  });
});

const chunk = z.object({
  choices: z.array(z.object({
    delta: z.object({ content: z.string().optional() }),
    finish_reason: z.string().nullable(),
  })),
  usage: z.object({ total_tokens: z.number().positive(), cost: z.number().positive() }).optional(),
});

interface Reply {
  text: string;
  comments: string[];
  chunks: z.output<typeof chunk>[];
}

type Messages = readonly { role: string; content: string }[];

/** Calls the mock model as the agent does. `until` aborts it early, when the text so far matches. */
async function reply(baseUrl: string, messages: Messages, until?: RegExp): Promise<Reply> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "openai/gpt-4-turbo", stream: true, usage: { include: true }, messages }),
  });
  assert.equal(response.status, 200);
  assert.ok(response.body);
  const comments: string[] = [];
  const chunks: Reply["chunks"] = [];
  let text = "";
  const events = response.body.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ onComment: (comment) => void comments.push(comment) }));
  for await (const { data } of events) {
    if (data === "[DONE]") break;
    const parsed = chunk.parse(JSON.parse(data));
    chunks.push(parsed);
    text += parsed.choices[0]?.delta.content ?? "";
    if (until?.test(text)) break;
  }
  return { text, comments, chunks };
}

Deno.test("local stack: the mock model streams as OpenRouter does, and knows the conversation", async () => {
  await withLocalStack({ functions, model: "mock" }, async (stack) => {
    assert.match(stack.model, /mock/);
    const response = await fetch(`${stack.url}/functions/v1/probe/env`);
    const { OPENROUTER_BASE_URL: baseUrl = "" }: Record<string, string> = await response.json();
    const user = (content: string): Messages[number] => ({ role: "user", content });

    const [hello, echo, before, story] = await Promise.all([
      reply(baseUrl, [{ role: "system", content: "story" }, user("Hello!")]),
      reply(baseUrl, [user("Hello!"), { role: "assistant", content: "Hi" }, user("What is 2 + 2?")]),
      reply(baseUrl, [user("Apples"), user("Pears"), user("What did I say before?")]),
      reply(baseUrl, [user("Tell me a long story")], /lighthouse/),
    ]);
    assert.match(hello.text, /^Hello! .*\*\*local stack\*\*/);
    assert.deepEqual(hello.comments, ["OPENROUTER PROCESSING"]);
    assert.ok(hello.chunks.length > 10, `${hello.chunks.length} chunks`);
    assert.ok(hello.chunks.some(({ choices }) => choices[0]?.finish_reason === "stop"));
    assert.ok(hello.chunks.at(-1)?.usage);
    assert.match(echo.text, /“What is 2 \+ 2\?”/);
    assert.match(before.text, /1\. “Apples”\n2\. “Pears”$/);
    // An interrupted answer continues where it stopped.
    const begun = { role: "assistant", content: story.text };
    const rest = await reply(baseUrl, [user("Tell me a long story"), begun], /./);
    assert.ok(!rest.text.startsWith("#"));
    const anchor = story.text.slice(-60);
    const repeat = user(`${ANCHOR_REQUEST}\n\n${anchor}`);
    const anchored = await reply(baseUrl, [user("Tell me a long story"), begun, repeat], /.{70}/s);
    assert.ok(anchored.text.startsWith(anchor.trim()));

    // With tools it calls one, and tells of its result.
    const model = createOpenRouter({
      baseUrl,
      maxRetries: 0,
      firstTokenTimeoutMs: 0,
      stallTimeoutMs: 0,
      clock: systemClock(),
      random: Math.random,
      fetch,
      log: { write: () => {} },
    });
    const tools = [{ name: "find_orders", description: "Lists orders.", parameters: { type: "object" } }];
    const ask = async (messages: readonly ModelMessage[]): Promise<ModelReply & { text: string }> => {
      let text = "";
      const request = { messages, partial: "", models: ["openai/gpt-4-turbo"], tools };
      const { signal } = new AbortController();
      return { ...await model.reply(request, { onText: (piece) => void (text += piece), signal }), text };
    };
    const question = { role: "user", content: "What are my orders?" } as const;
    const { calls = [] } = await ask([question]);
    assert.deepEqual(calls.map(({ name, arguments: input }) => [name, input]), [["find_orders", "{}"]]);
    const result = {
      role: "tool",
      content: '[{"id":"1001","status":"open"}]',
      callId: calls[0]?.id ?? "",
    } as const;
    const told = await ask([question, { role: "assistant", content: "", calls }, result]);
    assert.equal(told.text, "I found 1:\n\n- **1001**, status open");
    assert.equal(told.calls, undefined);
  });
});

Deno.test("local stack: the page at `/` is told what runs where", async () => {
  await withLocalStack({ functions, env: { AUTH_MODE: "<none>" } }, async (stack) => {
    const response = await fetch(stack.url);
    assert.match(response.headers.get("content-type") ?? "", /^text\/html/);
    await response.body?.cancel();
    const info = await (await fetch(`${stack.url}/playground/stack.json`)).json();
    assert.ok(info.functions.includes("probe"));
    assert.equal(info.authMode, "<none>");
    assert.equal(info.lite, false);
    assert.equal(info.model, stack.model);
    assert.ok(info.wscat.includes(stack.wsUrl));
  });
});

Deno.test("local stack: with a key or a base URL in the environment the mock stays out", async () => {
  for (
    const [name, value] of [["OPENROUTER_API_KEY", "sk"], ["OPENROUTER_BASE_URL", "http://127.0.0.1:9/v1"]]
  ) {
    assert.ok(name !== undefined && value !== undefined);
    await withLocalStack({ functions, model: "env", env: { [name]: value } }, async (stack) => {
      const found: Record<string, string> = await (await fetch(`${stack.url}/functions/v1/probe/env`)).json();
      assert.equal(found[name], value);
      assert.ok(stack.model.includes(name));
    });
  }
});

Deno.test("local stack: two run side by side, and each ends alone", async () => {
  await withLocalStack({ functions }, async (one) => {
    const other = await withLocalStack({ functions }, (two) => Promise.resolve(two.url));
    assert.notEqual(one.url, other);
    await eventually("an answer", async () => {
      const response = await fetch(`${one.url}/functions/v1/probe/request`);
      await response.body?.cancel();
      return response.ok;
    });
  });
});

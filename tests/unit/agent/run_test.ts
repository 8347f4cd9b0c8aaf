import assert from "node:assert/strict";
import * as z from "zod";
import {
  functionTool,
  rpcTool,
  tool,
  type ToolContext,
} from "../../../supabase/functions/_shared/agent/mod.ts";
import { ManualClock, settle } from "../../support/manual_clock.ts";
import { ANONYMOUS, noFetch, SESSION_ID, testAgent, USER_ID } from "../../support/test_agent.ts";
import { unsigned } from "../../support/tokens.ts";

const NOW = 1_735_689_600_000;
const TOKEN = unsigned({ sub: USER_ID, exp: NOW / 1000 + 60 }, { alg: "none" });

interface Sent {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string;
  redirect: string | undefined;
}

/** A project that notes what it is sent, and answers as told. */
function project(
  answer: (url: string) => Response | Promise<Response>,
): { sent: Sent[]; fetch: typeof fetch } {
  const sent: Sent[] = [];
  return {
    sent,
    fetch: async (input, init) => {
      const { url, method, headers, redirect } = new Request(input, init);
      const body = typeof init?.body === "string" ? init.body : "";
      sent.push({ url, method, headers: Object.fromEntries(headers), body, redirect });
      const { signal } = init ?? {};
      const aborted = new Promise<never>((_, reject) =>
        signal?.addEventListener("abort", () => reject(signal.reason))
      );
      return await Promise.race([answer(url), aborted]);
    },
  };
}

const input = z.object({ id: z.string() });
const orders = tool({
  description: "Reads orders",
  input,
  execute: ({ id }, { supabase }) => supabase.from("orders").select("id").eq("id", id),
});

Deno.test("a tool is run with its input and its context, and its result is data", async () => {
  let seen: ToolContext | undefined;
  const echo = tool({
    description: "x",
    input: input.extend({ n: z.number().default(2) }),
    as: "nobody",
    execute: (given, context) => {
      seen = context;
      return { given };
    },
  });
  const { run } = testAgent({ tools: { echo } });
  const done = await run("echo", { id: "A" }, { callId: "call-9", turnId: "turn-9" });
  assert.deepEqual(done, { outcome: "ok", output: '{"tool":"echo","data":{"given":{"id":"A","n":2}}}' });
  const { user, sessionId, turnId, callId, idempotencyKey, signal } = seen ?? {};
  assert.equal(user?.email, "ada@example.com");
  assert.equal(user?.role, "support");
  assert.deepEqual([sessionId, turnId, callId, idempotencyKey], [SESSION_ID, "turn-9", "call-9", "call-9"]);
  assert.equal(signal?.aborted, true, "what still runs after the call learns that it has ended");
});

Deno.test("a query is sent with the user's token and the publishable key, and its rows are the data", async () => {
  const { sent, fetch } = project(() => Response.json([{ id: "A" }]));
  const { run } = testAgent({ tools: { orders } }, { fetch });
  assert.deepEqual(await run("orders", { id: "A" }, { token: TOKEN }), {
    outcome: "ok",
    output: '{"tool":"orders","data":[{"id":"A"}]}',
  });
  assert.equal(sent.length, 1);
  assert.equal(sent[0]?.url, "http://project/rest/v1/orders?select=id&id=eq.A");
  assert.equal(sent[0]?.headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(sent[0]?.headers.apikey, "sb_publishable_1");
});

Deno.test("the secret key is used by as: service alone, which needs no user", async () => {
  const { sent, fetch } = project(() => Response.json([]));
  const service = tool({
    description: "x",
    input,
    as: "service",
    execute: (_, { supabase }) => supabase.from("orders").select(),
  });
  const { run } = testAgent({ tools: { service, orders } }, { fetch });
  assert.equal((await run("service", { id: "A" }, { token: undefined })).outcome, "ok");
  assert.equal((await run("orders", { id: "A" }, ANONYMOUS)).outcome, "ok");
  await run("orders", { id: "A" }, { token: TOKEN });
  assert.deepEqual(sent.map(({ headers }) => [headers.apikey, headers.authorization]), [
    ["sb_secret_very_secret", "Bearer sb_secret_very_secret"],
    ["sb_publishable_1", "Bearer sb_publishable_1"],
    ["sb_publishable_1", `Bearer ${TOKEN}`],
  ]);
});

Deno.test("without a token of the user nothing is sent", async () => {
  const { run } = testAgent({
    tools: { orders, send: functionTool("send", { description: "x", input }) },
  }, { fetch: noFetch });
  for (const name of ["orders", "send"]) {
    const { outcome, output } = await run(name, { id: "A" }, { token: undefined });
    assert.equal(outcome, "error");
    assert.match(output, /needs the user/);
  }
});

Deno.test("a token that has expired meanwhile is not sent", async () => {
  const clock = new ManualClock(NOW);
  const { sent, fetch } = project(() => Response.json([]));
  const slow = tool({
    description: "x",
    input,
    execute: async (_, { supabase }) => {
      await supabase.from("orders").select();
      clock.sleep(60_000);
      return await supabase.from("orders").select();
    },
  });
  const { run } = testAgent({ tools: { slow, send: functionTool("send", { description: "x", input }) } }, {
    fetch,
    clock,
  });
  const { outcome, output } = await run("slow", { id: "A" }, { token: TOKEN });
  assert.equal(outcome, "error");
  assert.match(output, /the user's token has expired/);
  assert.match((await run("send", { id: "A" }, { token: TOKEN })).output, /the user's token has expired/);
  assert.equal(sent.length, 1);
});

Deno.test("what a tool keeps of its call reaches nothing after it", async () => {
  const { sent, fetch } = project(() => Response.json([]));
  let kept: ToolContext | undefined;
  let client: ToolContext["supabase"] | undefined;
  const keeps = tool({
    description: "x",
    input,
    execute: (_, context) => {
      kept = context;
      client = context.supabase;
      return null;
    },
  });
  const { run } = testAgent({ tools: { keeps } }, { fetch });
  await run("keeps", { id: "A" }, { token: TOKEN });
  assert.throws(() => kept?.supabase, /the call has ended/);
  const { error } = await client?.from("orders").insert({}) ?? {};
  assert.match(error?.message ?? "", /the call has ended/);
  assert.equal(sent.length, 0);
});

Deno.test("there is no client without rights or without a project, and the error says why", async () => {
  const uses = (as?: "nobody"): ReturnType<typeof tool> =>
    tool({
      description: "x",
      input,
      ...(as && { as }),
      execute: (_, { supabase }) => supabase.from("a").select(),
    });
  const nobody = await testAgent({ tools: { t: uses("nobody") } }).run("t", { id: "A" });
  assert.match(nobody.output, /the tool is as: \\"nobody\\"/);
  const env = {
    SUPABASE_URL: "",
    SUPABASE_SECRET_KEYS: "",
    SUPABASE_PUBLISHABLE_KEYS: "",
    AUTH_MODE: "none",
  };
  const { run } = testAgent({ tools: { t: uses() } }, { env });
  assert.match(
    (await run("t", { id: "A" }, ANONYMOUS)).output,
    /SUPABASE_URL and SUPABASE_PUBLISHABLE_KEYS must be set/,
  );
});

Deno.test("an error of the database, and one that is thrown, are told by their messages without secrets", async () => {
  const denied = project(() =>
    Response.json({ message: "permission denied", code: "42501" }, { status: 403 })
  );
  const database = testAgent({ tools: { orders } }, { fetch: denied.fetch });
  assert.deepEqual(await database.run("orders", { id: "A" }), {
    outcome: "error",
    output: '{"tool":"orders","error":"permission denied (42501)"}',
  });
  const throws = tool({
    description: "x",
    input,
    as: "service",
    execute: () => Promise.reject(new Error("no access with sb_secret_very_secret or Bearer abcdefgh")),
  });
  const { run } = testAgent({ tools: { throws } });
  assert.deepEqual(await run("throws", { id: "A" }), {
    outcome: "error",
    output: '{"tool":"throws","error":"no access with [masked] or Bearer [masked]"}',
  });
});

Deno.test("the token and the secret key do not reach the model by a result", async () => {
  const echo = functionTool("echo", { description: "x", input });
  const { fetch } = project(() =>
    Response.json({ headers: { authorization: `Bearer ${TOKEN}` }, key: "sb_secret_very_secret" })
  );
  const { output } = await testAgent({ tools: { echo } }, { fetch }).run("echo", { id: "A" }, {
    token: TOKEN,
  });
  assert.equal(
    output,
    '{"tool":"echo","data":{"headers":{"authorization":"Bearer [masked]"},"key":"[masked]"}}',
  );
});

Deno.test("a call that takes too long is an error, and its requests end", async () => {
  const clock = new ManualClock();
  const { sent, fetch } = project(() => new Promise(() => {}));
  const slow = tool({
    description: "x",
    input,
    timeoutMs: 700,
    execute: (_, { supabase }) => supabase.from("orders").select(),
  });
  const hangs = tool({ description: "x", input, as: "nobody", execute: () => new Promise(() => {}) });
  const { run } = testAgent({ tools: { slow, hangs } }, { clock, fetch, env: { TOOL_TIMEOUT_MS: "500" } });
  const both = [run("slow", { id: "A" }), run("hangs", { id: "A" })];
  while (sent.length === 0 || clock.pending < 2) await settle();
  clock.advance(500);
  assert.match((await both[1])?.output ?? "", /it took longer than 500 ms\. It may have taken effect/);
  clock.advance(200);
  assert.match((await both[0])?.output ?? "", /it took longer than 700 ms/);
  assert.equal(clock.pending, 0);
});

Deno.test("a call that is stopped is an error at once, and before its start it does not run", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const hangs = tool({
    description: "x",
    input,
    as: "nobody",
    execute: (_, { signal }) => {
      runs++;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("later"))));
    },
  });
  const { run } = testAgent({ tools: { hangs } }, { clock });
  const controller = new AbortController();
  const running = run("hangs", { id: "A" }, { signal: controller.signal });
  while (runs === 0) await settle();
  controller.abort();
  assert.match((await running).output, /it was stopped\. It may have taken effect/);
  assert.match(
    (await run("hangs", { id: "A" }, { signal: controller.signal })).output,
    /it was stopped before it began/,
  );
  assert.equal(runs, 1);
  assert.equal(clock.pending, 0);
});

Deno.test("an input of the log is checked again before it runs, and an unknown tool does not run", async () => {
  const { run } = testAgent({ tools: { orders, pick: tool({ description: "x", input }) } });
  assert.match((await run("orders", { id: 5 })).output, /Cannot accept the input: id/);
  assert.match((await run("gone", {})).output, /there is no such tool/);
  assert.match((await run("pick", { id: "A" })).output, /a client runs it/);
});

Deno.test("rpcTool calls the function of the database with the input and the key", async () => {
  const { sent, fetch } = project(() => Response.json({ refunded: 5 }));
  const refund = rpcTool("refund", { description: "x", input, keyArgument: "key", idempotent: true });
  const { run } = testAgent({ tools: { refund } }, { fetch });
  const { output } = await run("refund", { id: "A" }, { token: TOKEN, callId: "call-7" });
  assert.equal(output, '{"tool":"refund","data":{"refunded":5}}');
  const [{ url, body, headers } = {}] = sent;
  assert.equal(url, "http://project/rest/v1/rpc/refund");
  assert.deepEqual(JSON.parse(body ?? ""), { id: "A", key: "call-7" });
  assert.equal(headers?.authorization, `Bearer ${TOKEN}`);
});

Deno.test("functionTool posts the input to the function, as the user, with the key", async () => {
  const { sent, fetch } = project(() => Response.json({ sent: true }));
  const send = functionTool("send_invoice", { description: "x", input });
  const { run } = testAgent({ tools: { send } }, { fetch });
  const { output } = await run("send", { id: "A" }, { token: TOKEN, callId: "call-8" });
  assert.equal(output, '{"tool":"send","data":{"sent":true}}');
  assert.partialDeepStrictEqual(sent, [{
    url: "http://project/functions/v1/send_invoice",
    method: "POST",
    headers: {
      authorization: `Bearer ${TOKEN}`,
      apikey: "sb_publishable_1",
      "content-type": "application/json",
      "idempotency-key": "call-8",
    },
    body: '{"id":"A"}',
    redirect: "manual",
  }]);
});

Deno.test("every answer of a function is an outcome", async () => {
  const html = { headers: { "content-type": "text/html" } };
  const json = { "content-type": "application/json" };
  const answers: [answer: () => Response | Promise<Response>, outcome: string, output: string | RegExp][] = [
    [() => new Response("done"), "ok", '{"tool":"f","data":"done"}'],
    [() => new Response(null, { status: 204 }), "ok", '{"tool":"f","data":null}'],
    [() => new Response("{", { headers: json }), "error", /broken JSON/],
    [() => new Response("<!doctype html><p>", html), "error", /web page/],
    [() => Response.json({ detail: "no stock" }, { status: 422 }), "error", /HTTP 422: no stock/],
    [() => Response.json({ code: 1 }, { status: 500 }), "error", /HTTP 500"/],
    [() => new Response("<html>", { status: 502, ...html }), "error", /HTTP 502"/],
    [() => new Response("{", { status: 500, headers: json }), "error", /HTTP 500"/],
    [() => new Response(null, { status: 302, headers: { location: "http://evil" } }), "error", /HTTP 302/],
    [() => new Response("x".repeat(2_000_000)), "error", /more than 1048576 bytes/],
    [() => Promise.reject(new TypeError("connection refused")), "error", /connection refused/],
  ];
  const f = functionTool("f", { description: "x", input });
  for (const [answer, outcome, output] of answers) {
    const done = await testAgent({ tools: { f } }, { fetch: project(answer).fetch }).run("f", { id: "A" });
    assert.equal(done.outcome, outcome);
    if (typeof output === "string") assert.equal(done.output, output);
    else assert.match(done.output, output);
  }
});

Deno.test("a long result is cut to MAX_TOOL_RESULT_CHARS", async () => {
  const long = tool({ description: "x", input, as: "nobody", execute: () => "y".repeat(5000) });
  const { run } = testAgent({ tools: { long } }, { env: { MAX_TOOL_RESULT_CHARS: "300" } });
  const { output } = await run("long", { id: "A" });
  assert.ok(output.length <= 300);
  assert.match(output, /of 5002 characters are left out/);
});

Deno.test("what a tool has thrown is a line of the log, without secrets; an error that it returned is none", async () => {
  const throws = tool({
    description: "x",
    input,
    execute: () => Promise.reject(new Error(`bad column, token ${TOKEN}`)),
  });
  const { fetch } = project(() => Response.json({ message: "no" }, { status: 400 }));
  const { run, log } = testAgent({ tools: { orders, throws } }, { fetch });
  await run("orders", { id: "A" }, { token: undefined });
  await run("orders", { id: "A" }, { token: TOKEN });
  await run("gone", {}, { token: TOKEN });
  assert.deepEqual(log.entries, []);
  await run("throws", { id: "A" }, { token: TOKEN });
  assert.deepEqual(log.entries, [{
    level: "warn",
    event: "tool_failed",
    tool: "throws",
    callId: "call-1",
    reason: "bad column, token [masked]",
  }]);
});

Deno.test("what a client has answered is marked and bounded like other results", async () => {
  const { agent } = testAgent({ tools: { orders } }, { env: { MAX_TOOL_RESULT_CHARS: "300" } });
  assert.deepEqual(await agent.clientResult("pick", { day: "Monday" }), {
    outcome: "ok",
    output: '{"tool":"pick","data":{"day":"Monday"}}',
  });
  assert.ok((await agent.clientResult("pick", "x".repeat(5000))).output.length <= 300);
});

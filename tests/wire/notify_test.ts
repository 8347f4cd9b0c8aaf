/** Notifications on the whole local stack: posted to one function, delivered by workers of another, over Realtime. */

import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { createNotifyClient, NotifyError } from "../../supabase/functions/_shared/notify/client.ts";
import { echo, HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { type AgentClient, connect, of } from "../support/agent_client.ts";

/** The length of the Realtime outage, and the interval of the checks during it. */
const OUTAGE_MS = 10_000;
const RETRY_MS = 250;

interface Answer {
  status: number;
  body: Record<string, unknown>;
  headers: Headers;
}

async function post(
  stack: TestStack,
  body: unknown,
  headers: Record<string, string> = { apikey: stack.keys.secretKey },
): Promise<Answer> {
  const response = await fetch(`${stack.url}/functions/v1/notify_websocket`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? body as BodyInit : JSON.stringify(body),
  });
  return { status: response.status, body: await response.json(), headers: response.headers };
}

/** A connection whose worker has joined the relay. */
async function listening(stack: TestStack, query = ""): Promise<AgentClient> {
  const client = await connect(`${stack.wsUrl}/functions/v1/agent_websocket${query}`);
  const sessionId = String(client.welcome.session_id);
  await eventually("a first notification", async () => {
    await post(stack, { session_id: sessionId, message: "are you there?", id: crypto.randomUUID() });
    return client.frames.some(({ content }) => content === "are you there?");
  });
  return client;
}

Deno.test("[NT1] [NT2] [SQ1] a notification reaches the session's socket on another worker, with its seq, in order", async () => {
  await using model = new HandModel({ respond: echo });
  const options = { workers: 2, model: { baseUrl: model.baseUrl } };
  await withLocalStack(options, async (stack) => {
    await using client = await listening(stack);
    await client.answer("What came before");
    const before = client.seqs.length;
    const sent = await post(stack, {
      sessionId: String(client.welcome.session_id),
      message: "from the seed's sample",
    });
    assert.equal(sent.status, 202);
    assert.equal(sent.body.durable, false);
    const object = { content: "done", code: "report", data: { url: "/r/1" }, type: "status" };
    await post(stack, {
      session_id: String(client.welcome.session_id),
      message: object,
      id: "r1",
      source: "reports",
    });
    const status = await client.waitFor(of("status", "report"));
    assert.deepEqual([status.content, status.data, status.id, status.source], [
      "done",
      { url: "/r/1" },
      "r1",
      "reports",
    ]);
    const seqs = client.frames.flatMap(({ seq }) => seq === undefined ? [] : [seq]);
    assert.deepEqual(seqs, seqs.map((_, index) => index + 1));
    assert.equal(seqs.length, before + 2);
  });
});

Deno.test("[NT2] [RS1] who was away when it came gets it on resume", async () => {
  await withLocalStack({}, async (stack) => {
    const client = await listening(stack);
    const query = client.resumeQuery();
    await client[Symbol.asyncDispose]();
    await post(stack, { session_id: String(client.welcome.session_id), message: "while you were away" });
    await using again = await connect(`${stack.wsUrl}/functions/v1/agent_websocket?${query}`);
    await again.waitFor(({ content, seq }) => content === "while you were away" && seq !== undefined);
  });
});

Deno.test("[NT3] a user's sessions, and everyone", async () => {
  await withLocalStack({ workers: 2 }, async (stack) => {
    const token = await stack.token({ claims: { sub: "11111111-1111-4111-8111-111111111111" } });
    await using one = await listening(stack, `?jwt=${token}`);
    await using two = await listening(stack, `?jwt=${token}`);
    await using other = await listening(stack);
    const mine = await post(stack, { user_id: "11111111-1111-4111-8111-111111111111", message: "yours" }, {
      authorization: `Bearer ${token}`,
    });
    assert.equal(mine.status, 202);
    for (const client of [one, two]) {
      assert.ok((await client.waitFor(({ content }) => content === "yours")).seq);
    }
    await post(stack, { broadcast: true, message: "everyone" });
    for (const client of [one, two, other]) {
      const frame = await client.waitFor(({ content }) => content === "everyone");
      assert.equal(frame.seq, undefined);
    }
    assert.ok(!other.frames.some(({ content }) => content === "yours"));
  });
});

Deno.test("[NT4] who may notify whom", async () => {
  await withLocalStack({ env: { NOTIFY_RATE_LIMIT_PER_MINUTE: "30" } }, async (stack) => {
    const { keys } = stack;
    const token = await stack.token({ claims: { sub: "ann" } });
    const bearer = { authorization: `Bearer ${token}` };
    const to = (target: Record<string, unknown>): Record<string, unknown> => ({ ...target, message: "x" });
    const statusOf = async (body: unknown, headers: Record<string, string>): Promise<number> =>
      (await post(stack, body, headers)).status;
    assert.equal(await statusOf(to({ session_id: "s" }), { authorization: `Bearer ${keys.secretKey}` }), 202);
    // With the memory store the function cannot know whether the session exists.
    assert.equal(await statusOf(to({ session_id: "s" }), { apikey: keys.serviceRoleKey }), 202);
    for (const key of [keys.publishableKey, keys.anonKey]) {
      assert.equal(await statusOf(to({ session_id: "s" }), { apikey: key }), 401);
    }
    assert.equal(
      await statusOf(to({ session_id: "s" }), { authorization: `Bearer ${keys.publishableKey}` }),
      401,
    );
    assert.equal(await statusOf(to({ session_id: "s" }), {}), 401);
    assert.equal(await statusOf(to({ session_id: "s" }), { apikey: `${keys.secretKey}x` }), 401);
    assert.equal(await statusOf(to({ session_id: "s" }), { authorization: "Bearer ey.bad.token" }), 401);
    assert.equal(await statusOf(to({ user_id: "ann" }), bearer), 202);
    for (const target of [{ session_id: "s" }, { user_id: "bob" }, { broadcast: true }]) {
      assert.equal(await statusOf(to(target), bearer), 403, JSON.stringify(target));
    }
    assert.equal(
      await statusOf({ activity: { type: "system_event", data: { event: "startup" } } }, bearer),
      403,
    );
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => post(stack, to({ user_id: "ann" }), bearer)),
    );
    const limited = answers.filter(({ status }) => status === 429);
    assert.ok(limited.length >= 10, `${limited.length} of 40 refused`);
    assert.ok(Number(limited[0]?.headers.get("retry-after")) >= 1);
  });
});

Deno.test("[NT5] what is wrong with a post is named, field by field", async () => {
  await withLocalStack({}, async (stack) => {
    const bad: [unknown, number, string | undefined][] = [
      ["{", 400, undefined],
      ["", 400, undefined],
      [new Uint8Array([0x22, 0xff, 0x22]), 400, undefined],
      [JSON.stringify({ session_id: "s", message: "x" }).replace("x", "\n"), 400, undefined],
      ["[]", 400, "body"],
      [{}, 400, "session_id"],
      [{ session_id: "s", user_id: "u", message: "x" }, 400, "user_id"],
      [{ session_id: "s" }, 400, "message"],
      [{ session_id: "s", message: " " }, 400, "message"],
      [{ session_id: "s", message: { content: 5 } }, 400, "message.content"],
      [{ session_id: "s", message: { content: "x", type: "error" } }, 400, "message.type"],
      [{ session_id: "s", message: "x", id: "" }, 400, "id"],
      [{ broadcast: false, message: "x" }, 400, "broadcast"],
      [{ activity: { type: "system_event", data: { event: "nope" } } }, 400, "activity.data.event"],
      [JSON.stringify({ session_id: "s", message: "x".repeat(70_000) }), 413, undefined],
    ];
    for (const [body, status, field] of bad) {
      const answer = await post(stack, body);
      assert.deepEqual([answer.status, answer.body.field], [status, field], JSON.stringify(body));
      assert.equal(answer.headers.get("content-type"), "application/problem+json");
      assert.match(String(answer.body.detail), /^Cannot /);
    }
    const send = (init: RequestInit): Promise<Response> =>
      fetch(`${stack.url}/functions/v1/notify_websocket`, init);
    const headers = { apikey: stack.keys.secretKey };
    const statuses: number[] = [];
    for (
      const init of [
        { method: "GET" },
        { method: "PUT", body: "{}" },
        { method: "POST", headers: { ...headers, "content-type": "text/plain" }, body: "{}" },
        {
          method: "POST",
          headers: { ...headers, "content-type": "application/json", "content-encoding": "gzip" },
          body: "{}",
        },
        // Without a content length: the body is read only up to the limit.
        {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: ReadableStream.from(Array.from({ length: 100 }, () => new Uint8Array(1024).fill(0x20))),
        },
        { method: "OPTIONS" },
      ]
    ) {
      const response = await send(init);
      await response.body?.cancel();
      statuses.push(response.status);
    }
    assert.deepEqual(statuses, [405, 405, 415, 415, 413, 204]);
  });
});

Deno.test("[NT6] an id makes a retry harmless, and cannot be used for something else", async () => {
  await withLocalStack({}, async (stack) => {
    await using client = await listening(stack);
    const body = { session_id: String(client.welcome.session_id), message: "once", id: "n1" };
    assert.deepEqual((await post(stack, body)).body, { id: "n1", durable: false });
    assert.deepEqual((await post(stack, body)).body, { id: "n1", durable: false, repeated: true });
    const other = await post(stack, { ...body, message: "twice" });
    assert.deepEqual([other.status, other.body.code], [409, "id_conflict"]);
    await post(stack, { session_id: String(client.welcome.session_id), message: "the end" });
    await client.waitFor(({ content }) => content === "the end");
    assert.equal(client.frames.filter(({ content }) => content === "once").length, 1);
  });
});

Deno.test("[NT7] [RL2] while Realtime is away for 10 s nobody is told that it was sent; sessions live on, and hear again", async () => {
  await using model = new HandModel({ respond: echo });
  const options = {
    workers: 2,
    env: { RATE_LIMIT_PER_MINUTE: "0", NOTIFY_RATE_LIMIT_PER_MINUTE: "0" },
    model: { baseUrl: model.baseUrl },
  };
  await withLocalStack(options, async (stack) => {
    // Round robin: one on each worker.
    await using one = await listening(stack);
    await using two = await listening(stack);
    const clients = [one, two];
    const relays = async (): Promise<unknown[]> =>
      await Promise.all(
        [1, 2].map(async () =>
          (await (await fetch(`${stack.url}/functions/v1/agent_websocket/health`)).json()).relay
        ),
      );
    assert.deepEqual(await relays(), ["ok", "ok"]);
    // A notification that `listening` sent may still be in flight.
    const events = ({ frames }: AgentClient): number =>
      frames.filter(({ seq, content }) => seq !== undefined && content !== "are you there?").length;
    stack.realtime.pause();
    stack.realtime.cut();
    const backAt = performance.now() + OUTAGE_MS;
    await eventually("the relay's trouble in /health", async () => !(await relays()).includes("ok"));
    let rounds = 0;
    do {
      rounds++;
      assert.deepEqual(await relays(), ["connecting", "connecting"]);
      for (const client of clients) {
        const refused = await post(stack, { session_id: client.welcome.session_id, message: "lost?" });
        assert.deepEqual([refused.status, refused.body.code], [503, "relay_unavailable"]);
        assert.ok(Number(refused.headers.get("retry-after")) >= 1);
        assert.equal((await client.answer(`Round ${rounds}`)).content, `You said: Round ${rounds}`);
        assert.equal(events(client), 2 * rounds);
      }
      // Wait like a caller that honours retry-after, but not as long.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    } while (performance.now() < backAt);
    stack.realtime.resume();
    for (const client of clients) {
      await eventually("a notification again", async () => {
        await post(stack, {
          session_id: client.welcome.session_id,
          message: "back",
          id: crypto.randomUUID(),
        });
        return client.frames.some(({ content }) => content === "back");
      }, 30_000);
    }
    assert.deepEqual(await relays(), ["ok", "ok"]);
    for (const client of clients) {
      assert.ok(!client.frames.some(({ content }) => content === "lost?"));
      assert.deepEqual(client.seqs, client.seqs.map((_, index) => index + 1));
      assert.equal(client.closed, undefined);
    }
  });
});

Deno.test("[NT8] the helper, and supabase.functions.invoke, as the README shows them", async () => {
  await withLocalStack({}, async (stack) => {
    await using client = await listening(stack);
    const { url: supabaseUrl, keys: { secretKey } } = stack;
    const notify = createNotifyClient({ supabaseUrl, secretKey, fetch });
    const sent = await notify({
      session_id: String(client.welcome.session_id),
      message: "by the helper",
      id: "h",
    });
    assert.deepEqual(sent, { id: "h", durable: false });
    await client.waitFor(({ content }) => content === "by the helper");
    await assert.rejects(
      notify({ session_id: "", message: "x" }),
      (error) => error instanceof NotifyError && error.status === 400 && error.message.includes("session_id"),
    );
    const supabase = createClient(supabaseUrl, secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
    const body = { session_id: String(client.welcome.session_id), message: "by supabase-js" };
    const { error } = await supabase.functions.invoke("notify_websocket", { body });
    assert.equal(error, null);
    await client.waitFor(({ content }) => content === "by supabase-js");
  });
});

Deno.test("[NT5] a burst of 10,000 posts is answered, every one, and the function lives", async () => {
  await withLocalStack({}, async (stack) => {
    const counts = new Map<number, number>();
    for (let round = 0; round < 100; round++) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => post(stack, { session_id: "nobody", message: "x" })),
      );
      for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1);
    }
    assert.equal((counts.get(202) ?? 0) + (counts.get(429) ?? 0), 10_000, JSON.stringify([...counts]));
    assert.ok((counts.get(202) ?? 0) >= 600);
    const health = await fetch(`${stack.url}/functions/v1/notify_websocket/health`);
    assert.equal((await health.json()).status, "ok");
  });
});

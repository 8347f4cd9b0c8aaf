/** The durable store on the whole stack: real functions in real processes, Supabase Lite, supabase-js. */

import assert from "node:assert/strict";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { toUIMessages } from "../../client/ui_messages.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually, type TestStack, withLocalStack } from "../support/local_stack.ts";
import { sectionOf } from "../support/section.ts";
import { read } from "../support/source_files.ts";
import { AgentClient, connect, of, terminal } from "../support/agent_client.ts";

const ENV = {
  TURN_LEASE_MS: "1500",
  CHECKPOINT_INTERVAL_MS: "100",
  DRAIN_TIMEOUT_MS: "200",
  RATE_LIMIT_PER_MINUTE: "0",
};

/** Long enough to be continued, and with white space at its end. */
const COUNTED = Array.from({ length: 40 }, (_, n) => `number ${n}, `).join("");

async function withDurable(
  body: (stack: TestStack, model: HandModel) => Promise<void>,
  { workers = 1, env = {} }: { workers?: number; env?: Record<string, string> } = {},
): Promise<void> {
  await using model = new HandModel();
  await withLocalStack({
    lite: true,
    workers: { agent_websocket: workers },
    model: { baseUrl: model.baseUrl },
    env: { ...ENV, ...env },
    testHooks: true,
  }, (stack) => body(stack, model));
}

const agentOf = (stack: TestStack): string => `${stack.wsUrl}/functions/v1/agent_websocket`;

async function resume(stack: TestStack, client: AgentClient): Promise<AgentClient> {
  return await connect(`${agentOf(stack)}?stream=true&${client.resumeQuery()}`);
}

async function notify(stack: TestStack, body: unknown, key = stack.keys.secretKey): Promise<Response> {
  return await fetch(`${stack.url}/functions/v1/notify_websocket`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

Deno.test("[TO1] [TO4] [TO6] [DU1] killed with SIGKILL, or replaced: the answer goes on in another process", async () => {
  await withDurable(async (stack, model) => {
    await using client = await connect(`${agentOf(stack)}?stream=true`);
    assert.equal(client.welcome.durable, true);
    const id = client.ask("count");
    client.ask("and then?", { id: "waiting" });
    const first = await model.next();
    first.say(COUNTED);
    await client.waitFor(of("delta"));
    await eventually("a checkpoint", async () => {
      const { data } = await rest(stack).from("agent_turn_pieces").select("text").order("number");
      return data?.map(({ text }) => text).join("") === COUNTED;
    });
    assert.ok(stack.disturb("agent_websocket", "kill"));
    await client.end();

    await using second = await resume(stack, client);
    const again = await model.next();
    assert.ok(again.asked.kind === "anchored");
    assert.equal(again.asked.text, COUNTED.trimEnd());
    again.say(`Of course:\n${again.asked.anchor} three`);
    await second.waitFor(() => second.textOf(id) === `${COUNTED}three`);
    assert.ok(stack.disturb("agent_websocket", "beforeunload"));
    assert.equal((await second.end()).code, 1012);

    await using third = await resume(stack, second);
    const last = await model.next();
    assert.ok(last.asked.kind === "anchored");
    assert.equal(last.asked.text, `${COUNTED}three`);
    last.say(`${last.asked.anchor} four`);
    last.finish();
    const response = await third.waitFor(terminal(id));
    assert.deepEqual([response.type, response.content], ["response", `${COUNTED}three four`]);
    assert.deepEqual(response.continued, { ways: ["anchored"] });
    assert.equal(third.textOf(id), response.content);
    const next = await model.next();
    next.say("then five");
    next.finish();
    assert.equal((await third.waitFor(terminal("waiting"))).content, "then five");
    const { data } = await rest(stack).from("agent_turns").select("state").neq("state", "completed");
    assert.deepEqual(data, []);
  });
});

Deno.test("[DU5] [HS3] the database out of reach: no half-made session; deltas go on, and the answer comes when it is back", async () => {
  await withDurable(async (stack, model) => {
    await using client = await connect(`${agentOf(stack)}?stream=true`);
    const id = client.ask("count");
    const exchange = await model.next();
    exchange.say("one");
    await client.waitFor(of("delta"));
    stack.database.disturb({ mode: "reset", forMs: 60_000 });
    exchange.say(" two");
    await client.waitFor(() => client.textOf(id) === "one two");
    const refused = new AgentClient(agentOf(stack));
    const error = await refused.waitFor(() => true);
    assert.deepEqual([error.type, error.code, error.retryable], ["error", "store_unavailable", true]);
    assert.equal((await refused.end()).code, 1013);
    exchange.finish();
    stack.database.calm();
    const response = await client.waitFor(terminal(id), { withinMs: 20_000 });
    assert.deepEqual([response.type, response.content, response.seq], ["response", "one two", 2]);
    const { count } = await rest(stack).from("agent_sessions").select("*", { count: "exact", head: true });
    assert.equal(count, 1);
  });
});

Deno.test("[NT1] [NT2] [NT6] [NT10] [NT4] notifications are kept for who is offline, and only for whose they are", async () => {
  await withDurable(async (stack) => {
    const ann = await stack.token({ claims: { sub: "ann" } });
    const bob = await stack.token({ claims: { sub: "bob" } });
    const client = await connect(agentOf(stack), { headers: { authorization: `Bearer ${ann}` } });
    const sessionId = String(client.welcome.session_id);
    const first = await notify(stack, { session_id: sessionId, message: "one", id: "n1" });
    assert.deepEqual([first.status, await first.json()], [202, { id: "n1", durable: true, sessions: 1 }]);
    await client.waitFor((frame) => frame.content === "one" && frame.seq === 1);
    const query = client.resumeQuery();
    await client.close();

    const again = await notify(stack, { session_id: sessionId, message: "one", id: "n1" });
    assert.deepEqual(await again.json(), { id: "n1", durable: true, sessions: 1, repeated: true });
    const conflict = await notify(stack, { session_id: sessionId, message: "two", id: "n1" });
    assert.deepEqual([conflict.status, (await conflict.json()).code], [409, "id_conflict"]);
    const hers = await notify(stack, { sessionId, message: "two" }, ann);
    assert.deepEqual([hers.status, (await hers.json()).sessions], [202, 1]);
    const byUser = await notify(stack, {
      user_id: "ann",
      message: { content: "three", code: "c", data: { n: 1 } },
    });
    assert.equal((await byUser.json()).sessions, 1);
    for (
      const [body, key] of [
        [{ session_id: sessionId, message: "no" }, bob],
        [{ session_id: crypto.randomUUID(), message: "no" }, stack.keys.secretKey],
        [{ session_id: crypto.randomUUID(), message: "no" }, bob],
        [{ session_id: "no uuid", message: "no" }, stack.keys.secretKey],
      ] as const
    ) {
      const refused = await notify(stack, body, key);
      assert.deepEqual([refused.status, (await refused.json()).code], [404, "unknown_session"]);
    }
    await using later = await connect(`${agentOf(stack)}?${query}`, {
      headers: { authorization: `Bearer ${ann}` },
    });
    assert.deepEqual(later.welcome.resumed, { recovered: true, from_seq: 2, to_seq: 3 });
    const third = await later.waitFor((frame) => frame.seq === 3);
    assert.deepEqual([third.content, third.code, third.data], ["three", "c", { n: 1 }]);
    assert.deepEqual(later.seqs, [2, 3]);
  });
});

Deno.test("[RS3] [CM1] [DU4] a session is its user's at every worker, and so are its rows", async () => {
  await withDurable(async (stack, model) => {
    const [ann, bob] = await Promise.all(["ann", "bob"].map((sub) => stack.token({ claims: { sub } })));
    const as = (token: string | undefined) => ({ headers: { authorization: `Bearer ${token}` } });
    await using client = await connect(agentOf(stack), as(ann));
    const id = client.ask("mine");
    const exchange = await model.next();
    exchange.say("yours");
    exchange.finish();
    const { turn_id: turnId } = await client.waitFor(terminal(id));
    const verdicts = await Promise.all([
      connect(`${agentOf(stack)}?${client.resumeQuery(0)}`, as(bob)),
      connect(`${agentOf(stack)}?session_id=${crypto.randomUUID()}&last_seq=0`, as(bob)),
      connect(`${agentOf(stack)}?${client.resumeQuery(0)}&resume_token=${"x".repeat(43)}`),
    ]);
    for (const stranger of verdicts) {
      assert.deepEqual(stranger.welcome.resumed, {
        recovered: false,
        from_seq: 1,
        to_seq: 0,
        reason: "unknown_session",
      });
      assert.notEqual(stranger.welcome.session_id, client.welcome.session_id);
      await stranger.close();
    }
    await using other = await connect(agentOf(stack), as(ann));
    const { data } = await other.command("sessions", { limit: 1 });
    const page = data as { sessions: { session_id: string }[]; before: string };
    assert.deepEqual(page.sessions.map((one) => one.session_id), [other.welcome.session_id]);
    const rest = (await other.command("sessions", { limit: 1, before: page.before })).data as typeof page;
    assert.deepEqual(rest.sessions.map((one) => one.session_id), [client.welcome.session_id]);
    for (const [sub, expected] of [["ann", ["mine", "yours"]], ["bob", []]] as const) {
      // Supabase Lite knows only the shared secret.
      const token = await stack.token({ alg: "HS256", claims: { sub } });
      const rows = await readRows(stack, token, String(client.welcome.session_id));
      assert.deepEqual(rows.map(({ content }) => content), expected);
    }
    const supabase = createClient(stack.url, stack.keys.publishableKey, {
      accessToken: () => stack.token({ alg: "HS256", claims: { sub: "ann" } }),
    });
    const { data: events } = await supabase.from("agent_events").select("event")
      .eq("session_id", String(client.welcome.session_id)).order("seq");
    assert.deepEqual(
      toUIMessages(events ?? []).map((
        { id, role, parts: [part] },
      ) => [id, role, part?.type === "text" ? part.text : part]),
      [[id, "user", "mine"], [`answer-${turnId}`, "assistant", "yours"]],
    );
    const history = (await client.command("history")).data as { messages: { content: string }[] };
    assert.deepEqual(history.messages.map(({ content }) => content), ["mine", "yours"]);
  }, { workers: 2 });
});

Deno.test("[LM3] a user has so many connections at all workers together", async () => {
  await withDurable(async (stack) => {
    const token = await stack.token({ claims: { sub: "ann" } });
    const as = { headers: { authorization: `Bearer ${token}` } };
    // The first connection makes the worker check whether there is a database.
    const first = await connect(agentOf(stack), as);
    const held = [first, await connect(agentOf(stack), as), await connect(agentOf(stack), as)];
    const refused = new AgentClient(agentOf(stack), as);
    const { code } = await refused.waitFor(() => true);
    assert.equal(code, "too_many_connections");
    assert.equal((await refused.end()).code, 1013);
    await held.pop()?.close();
    await eventually("room for another", async () => {
      const again = new AgentClient(agentOf(stack), as);
      const frame = await again.waitFor(() => true);
      if (frame.code === "connected") held.push(again);
      return frame.code === "connected";
    }, 20_000);
    await Promise.all(held.map((client) => client.close()));
  }, { workers: 3, env: { MAX_CONNECTIONS_PER_USER: "3" } });
});

/** The query from the README, run as a user of the project. */
async function readRows(
  stack: TestStack,
  token: string | undefined,
  sessionId: string,
): Promise<{ content: string }[]> {
  const supabase = createClient(stack.url, stack.keys.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { headers: { authorization: `Bearer ${token}` } },
  });
  const [, shown = ""] = /```js\n([^]*?)```/.exec(sectionOf(read("README.md"), "rows")) ?? [];
  const snippet = shown.replace("{ data }", "{ data, error }");
  const run: (...args: unknown[]) => Promise<{ content: string }[]> = new Function(
    "supabase",
    "sessionId",
    `return (async () => { ${snippet}; if (error) throw error; return data; })();`,
  ) as never;
  return await run(supabase, sessionId);
}

function rest(stack: TestStack): SupabaseClient {
  return createClient(stack.url, stack.keys.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
}

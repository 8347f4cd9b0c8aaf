/** What a tool can reach: a real PostgreSQL with row level security, through the REST API, with users' tokens. */

import assert from "node:assert/strict";
import * as z from "zod";
import { rpcTool, tool, type ToolContext } from "../../supabase/functions/_shared/agent/mod.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import { JWT_SECRET, readMigrations, startPostgresStore } from "../support/store_server.ts";
import { ANONYMOUS, SESSION_ID, testAgent } from "../support/test_agent.ts";
import { sharedSecret, userClaims } from "../support/tokens.ts";

const ANN = "00000000-0000-4000-8000-00000000000a";
const BOB = "00000000-0000-4000-8000-00000000000b";

const ORDERS = `
  create table public.orders (id text primary key, user_id text not null, total int not null);
  alter table public.orders enable row level security;
  create policy own on public.orders for all to authenticated
    using (user_id = current_setting('request.jwt.claims', true)::jsonb ->> 'sub')
    with check (user_id = current_setting('request.jwt.claims', true)::jsonb ->> 'sub');
  grant select, insert, update, delete on public.orders to authenticated, service_role;
  grant select on public.orders to anon;
  create function public.refund(id text, amount int, key text) returns text language sql security invoker as $$
    update public.orders set total = total - amount where orders.id = refund.id returning orders.id || ' ' || key
  $$;
  insert into public.orders values ('a1', '${ANN}', 10), ('b1', '${BOB}', 20);
`;

const input = z.object({ text: z.string() });
const named = { description: "x", input };
const orders = ({ supabase }: ToolContext): ReturnType<ToolContext["supabase"]["from"]> =>
  supabase.from("orders");
// As careless as tools may be: what the model says is the filter, the row and the id.
const tools = {
  all: tool({ ...named, execute: (_, context) => orders(context).select() }),
  find: tool({ ...named, execute: ({ text }, context) => orders(context).select().eq("id", text) }),
  filter: tool({ ...named, execute: ({ text }, context) => orders(context).select().or(text) }),
  columns: tool({ ...named, execute: ({ text }, context) => orders(context).select(text) }),
  update: tool({
    ...named,
    execute: ({ text }, context) => orders(context).update({ total: 0 }).eq("id", text).select(),
  }),
  remove: tool({
    ...named,
    execute: ({ text }, context) => orders(context).delete().neq("id", text).neq("user_id", ANN).select(),
  }),
  give: tool({
    ...named,
    execute: ({ text }, context) => orders(context).insert({ id: "x", user_id: text, total: 1 }).select(),
  }),
  take: tool({
    ...named,
    execute: ({ text }, context) => orders(context).upsert({ id: text, user_id: ANN, total: 1 }).select(),
  }),
  service: tool({
    ...named,
    as: "service",
    execute: (_, context) => orders(context).select("id").order("id"),
  }),
  refund: rpcTool("refund", {
    description: "x",
    input: z.object({ id: z.string(), amount: z.int() }),
    keyArgument: "key",
  }),
};

/** What a model may be talked into. */
const HOSTILE = [
  "b1",
  BOB,
  "*",
  "b1' or '1'='1",
  "b1,user_id.neq.x",
  "id.neq.x",
  "user_id.eq." + BOB,
  "id.neq.x),or=(id.neq.x",
  "*,orders(*)",
  "total.sum()",
  `b1&user_id=eq.${BOB}`,
  `b1\r\nauthorization: Bearer sb_secret_local_development`,
  "../rpc/agent_store_version",
  "b1; set role service_role",
];

Deno.test("a tool reaches what its user may reach, and nothing else, whatever its input is", async () => {
  // The REST API reads the schema once, so the table is there before.
  await using server = await startPostgresStore(undefined, [...await readMigrations(), ORDERS]);
  const token = await sharedSecret(JWT_SECRET).sign(userClaims(Date.now(), { sub: ANN }));
  const requests: string[] = [];
  const { run, log } = testAgent({ tools }, {
    clock: systemClock(),
    env: {
      SUPABASE_URL: server.url,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: server.secretKey }),
      SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_local_development"}',
    },
    fetch: (url, init) => {
      requests.push(new Headers(init?.headers).get("authorization") ?? "none");
      return fetch(url, init);
    },
  });
  const ann = { user: { id: ANN, claims: undefined }, sessionId: SESSION_ID, token };

  // Her own row.
  assert.equal(
    (await run("all", { text: "" }, ann)).output,
    `{"tool":"all","data":[{"id":"a1","user_id":"${ANN}","total":10}]}`,
  );
  assert.equal(
    (await run("refund", { id: "a1", amount: 3 }, { ...ann, callId: "k7" })).output,
    '{"tool":"refund","data":"a1 k7"}',
  );

  // Bob's row: not by any tool, and not by any input.
  for (const name of ["find", "filter", "columns", "update", "remove", "give", "take"]) {
    for (const text of HOSTILE) {
      const { output } = await run(name, { text }, ann);
      assert.ok(
        !output.includes(`"user_id":"${BOB}"`) && !output.includes('"id":"b1"'),
        `${name} ${text}: ${output}`,
      );
    }
  }
  await run("refund", { id: "b1", amount: 5 }, ann);
  assert.deepEqual(
    await server.sql("select id, user_id, total from public.orders where user_id <> '" + ANN + "'"),
    [
      { id: "b1", user_id: BOB, total: 20 },
    ],
  );
  assert.deepEqual(new Set(requests), new Set([`Bearer ${token}`]));

  // A visitor has the rights of a visitor.
  assert.equal((await run("all", { text: "" }, { ...ANONYMOUS, token })).output, '{"tool":"all","data":[]}');
  assert.equal(requests.pop(), "Bearer sb_publishable_local_development");

  // Without a valid token nothing is sent.
  const count = requests.length;
  const expired = await sharedSecret(JWT_SECRET).sign(userClaims(Date.now() - 7_200_000, { sub: ANN }));
  assert.match((await run("all", { text: "" }, { ...ann, token: undefined })).output, /needs the user/);
  assert.match((await run("all", { text: "" }, { ...ann, token: expired })).output, /has expired/);
  assert.equal(requests.length, count);

  // The service role, by that word alone.
  const { output } = await run("service", { text: "" }, { ...ann, token: undefined });
  assert.match(output, /"id":"b1"/);
  assert.deepEqual(log.entries, []);
});

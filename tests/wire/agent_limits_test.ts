/** How the server closes or refuses connections because of limits, as a real client sees it. */

import assert from "node:assert/strict";
import { withAgent } from "../support/agent_process.ts";
import { HandModel } from "../support/hand_model.ts";
import { eventually } from "../support/local_stack.ts";
import { RawSocket } from "../support/raw_socket.ts";
import { connect, of, terminal } from "../support/agent_client.ts";

Deno.test("[LM3] a connection too many is told when to come back, closed with 1013, and makes no room for itself", async () => {
  await withAgent({ env: { MAX_CONNECTIONS: "2" } }, async (agent) => {
    await using first = await connect(agent.wsUrl);
    const second = await connect(agent.wsUrl);
    for (let attempt = 0; attempt < 3; attempt++) {
      const refused = await connect(agent.wsUrl, { welcomed: false });
      assert.deepEqual(await refused.end(), { code: 1013, reason: "Too many connections" });
      const [error, ...more] = refused.frames;
      assert.deepEqual(more, []);
      assert.equal(error?.code, "too_many_connections");
      assert.equal(error?.retryable, true);
      assert.ok(Number(error?.retry_after_ms) > 0);
    }
    await second.close();
    await eventually("room for another", async () => (await agent.health()).connections === 1);
    await using third = await connect(agent.wsUrl);
    for (const client of [first, third]) assert.equal((await client.command("ping")).code, "pong");
  });
});

Deno.test("[LM3] one anonymous session has no more connections than it may", async () => {
  await withAgent({ env: { MAX_CONNECTIONS_PER_USER: "2" } }, async ({ wsUrl }) => {
    await using first = await connect(wsUrl);
    await using second = await connect(`${wsUrl}?${first.resumeQuery()}`);
    const third = await connect(`${wsUrl}?${first.resumeQuery()}`, { welcomed: false });
    assert.equal((await third.end()).code, 1013);
    assert.deepEqual(third.frames.map(({ code }) => code), ["too_many_connections"]);
    await using another = await connect(wsUrl);
    for (const client of [first, second, another]) assert.equal((await client.command("ping")).code, "pong");
  });
});

Deno.test("[LM6] a session that nobody uses is told so and closed with 1000; a running answer is use", async () => {
  await using model = new HandModel();
  const env = { OPENROUTER_BASE_URL: model.baseUrl, SESSION_TIMEOUT: "0.01", CLEANUP_INTERVAL_MS: "100" };
  await withAgent({ env }, async ({ wsUrl }) => {
    await using busy = await connect(`${wsUrl}?stream=true`);
    const id = busy.ask("a long story");
    const exchange = await model.next();
    exchange.say("Once ");
    const idle = await connect(wsUrl);
    assert.deepEqual(await idle.end(), { code: 1000, reason: "Session timeout" });
    assert.equal(idle.frames.length, 2);
    assert.equal(idle.frames[1]?.code, "session_timeout");
    assert.equal(idle.frames[1]?.content, "Session closed due to inactivity");
    assert.equal(busy.closed, undefined);
    exchange.finish();
    await busy.waitFor(terminal(id));
    assert.deepEqual(await busy.end(), { code: 1000, reason: "Session timeout" });
    await using again = await connect(`${wsUrl}?${busy.resumeQuery()}`);
    assert.deepEqual(again.welcome.resumed, {
      recovered: false,
      from_seq: 1,
      to_seq: 0,
      reason: "unknown_session",
    });
  });
});

Deno.test("[LM8] a peer that answers no ping is let go; one that does stays, and has heartbeats if it asked", async () => {
  await withAgent({ env: { HEARTBEAT_INTERVAL_MS: "500" } }, async (agent) => {
    await using alive = await connect(`${agent.wsUrl}?heartbeat=true`);
    await using plain = await connect(agent.wsUrl);
    using silent = await RawSocket.open(agent.port, { target: "/agent_websocket" });
    assert.equal((await silent.answer()).status, 101);
    await silent.frame();
    const { opcode } = await silent.frame();
    assert.equal(opcode, 9, "a ping");
    await eventually("the end of the silent one", async () => (await agent.health()).connections === 2);
    const lost = agent.log.find(({ event }) => event === "connection_closed");
    assert.equal(lost?.code, 1001);
    await alive.waitFor(() => alive.frames.filter(of("heartbeat")).length >= 2);
    for (const client of [alive, plain]) assert.equal((await client.command("ping")).code, "pong");
    assert.ok(!plain.frames.some(of("heartbeat")));
  });
});

Deno.test("[CM1] [CM4] [RS7] `delete` closes every connection of the session with 4009", async () => {
  await withAgent({}, async ({ wsUrl }) => {
    const first = await connect(wsUrl);
    const second = await connect(`${wsUrl}?${first.resumeQuery()}`);
    assert.equal((await first.command("delete")).code, "deleted");
    for (const client of [first, second]) {
      assert.deepEqual(await client.end(), { code: 4009, reason: "Session deleted" });
    }
    await using again = await connect(`${wsUrl}?${first.resumeQuery()}`);
    assert.notEqual(again.welcome.session_id, first.welcome.session_id);
  });
});

Deno.test("[LM1] [LM10] who invents another address for each connection is limited like anybody else", async () => {
  type Variant = [label: string, header: string, value: (count: number) => string];
  const invented: Variant[] = [
    ["another first hop", "x-forwarded-for", (count) => `198.51.100.${count}, 203.0.113.9`],
    ["many hops", "x-forwarded-for", (count) => `${`${count}.1.1.1, `.repeat(count)}203.0.113.10`],
    ["neighbours of a /64", "x-forwarded-for", (count) => `2001:db8::${count}`],
    ["a header that no proxy overwrites", "cf-connecting-ip", (count) => `198.51.100.${count}`],
  ];
  const direct: Variant = ["no proxy", "x-forwarded-for", (count) => `198.51.100.${count}`];
  const platform: Variant = ["the platform's header", "cf-connecting-ip", (count) => `198.51.100.${count}`];
  async function expectPongs(
    expected: number,
    variants: Variant[],
    more: Record<string, string> = {},
  ): Promise<void> {
    const env = { RATE_LIMIT_PER_MINUTE: "5", RATE_LIMIT_BURST: "5", ...more };
    await withAgent({ env }, async ({ wsUrl }) => {
      for (const [label, header, value] of variants) {
        let pongs = 0;
        for (let count = 1; count <= 8; count++) {
          await using client = await connect(wsUrl, { headers: { [header]: value(count) } });
          if ((await client.command("ping")).code === "pong") pongs++;
        }
        assert.equal(pongs, expected, label);
      }
    });
  }
  await expectPongs(5, invented);
  await expectPongs(5, [direct], { TRUSTED_PROXY_HOPS: "0" });
  await expectPongs(8, [platform], { SB_REGION: "local" });
});

/** Who may come in by the AI SDK's path, and how much they may have. */

import assert from "node:assert/strict";
import { startAgent, until } from "../../support/agent_harness.ts";
import { type AiSdkPage, openPage, PAGE_TOKEN } from "../../support/ai_sdk_page.ts";
import { settle } from "../../support/manual_clock.ts";

const OTHER_TOKEN = "other".padEnd(43, "-");

async function ended(page: AiSdkPage, request: string): Promise<void> {
  await until(() => ["end", "error", "no-active"].includes(page.types(request).at(-1) ?? ""));
}

Deno.test("[AS1] a token decides who it is before anything is answered; without one, AUTH_MODE does", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann", agent.clock.now() + 60_000);
  const unauthorized = /^unauthorized: /;
  const outcomes: [query: string, mode: "required" | "optional", error: RegExp | undefined][] = [
    ["jwt=ann's", "required", undefined],
    ["", "required", unauthorized],
    ["jwt=sb_publishable_test", "required", unauthorized],
    ["jwt=wrong", "optional", unauthorized],
    ["jwt=", "optional", unauthorized],
    ["", "optional", undefined],
  ];
  for (const [query, mode, error] of outcomes) {
    const page = await openPage(agent, query, { mode });
    assert.deepEqual([page.closed, page.frames], [undefined, []], "nothing before a request");
    const request = page.resume("none");
    await ended(page, request);
    if (error === undefined) assert.deepEqual(page.types(request), ["no-active"], `${query} under ${mode}`);
    else assert.match(page.errorOf(request) ?? "", error, `${query} under ${mode}`);
    assert.equal(page.closed?.code, error === undefined ? undefined : 4001);
    page.vanish();
  }
  const silent = await openPage(agent, "jwt=wrong");
  agent.clock.advance(5000);
  assert.deepEqual(silent.closed, { code: 4001, reason: "Unauthorized" });
  // It is one deadline, and what comes meanwhile waits.
  agent.verifier.gate = new Promise(() => {});
  const page = await openPage(agent, "jwt=ann's");
  const asked = page.ask("Hi");
  agent.clock.advance(5000);
  assert.deepEqual(page.closed, { code: 1013, reason: "Try again later" });
  assert.match(page.errorOf(asked) ?? "", /^store_unavailable: .* within 5000 ms$/);
});

Deno.test("[AS1] [AS13] when the token expires the page is sent away, and its answer goes on", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann", agent.clock.now() + 60_000);
  const page = await openPage(agent, "jwt=ann's");
  const asked = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(asked) === "Once ");
  agent.clock.advance(60_000);
  await settle();
  assert.deepEqual(page.closed, { code: 4001, reason: "Token expired" });
  page.vanish();
  agent.verifier.admit("ann's next", "ann", agent.clock.now() + 60_000);
  const again = await openPage(agent, "jwt=ann's next");
  const resumed = again.resume();
  await until(() => again.text(resumed) === "Once ");
  agent.model.last.finish();
  await ended(again, resumed);
});

Deno.test("[AS3] a conversation is its user's, or the token's; the id of the chat alone opens none", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann", Infinity);
  agent.verifier.admit("bob's", "bob", Infinity);
  const queries = ["jwt=ann's", "jwt=bob's", `resume_token=${PAGE_TOKEN}`, `resume_token=${OTHER_TOKEN}`, ""];
  const sessions = new Set<unknown>();
  for (const [n, query] of queries.entries()) {
    const page = await openPage(agent, query);
    const before = page.resume("the chat");
    await ended(page, before);
    assert.deepEqual(page.types(before), ["no-active"], query);
    const asked = page.ask("Hi", { chat: "the chat" });
    await until(() => agent.model.calls.length === n + 1);
    assert.equal(agent.model.last.request.messages.length, 2, "nothing of anyone else's");
    agent.model.last.finish("Hello");
    await ended(page, asked);
    const start = page.chunks(asked).find(({ type }) => type === "start");
    sessions.add((start?.messageMetadata as Record<string, unknown>).sessionId);
    page.vanish();
  }
  assert.equal(sessions.size, queries.length);
});

Deno.test("[AS3] a page without a token is told its own, which opens all of its conversations again", async () => {
  const agent = startAgent();
  const page = await openPage(agent, "");
  // At once: both are the same visitor's.
  const asked = ["a", "b"].map((chat) => page.ask(`Hi ${chat}`, { chat }));
  await until(() => agent.model.calls.length === 2);
  for (const call of agent.model.calls) call.finish("Hello");
  for (const request of asked) await ended(page, request);
  const told = asked.map((request) => page.chunks(request)[0]);
  const { resumeToken } = told[0]?.data as { resumeToken: string };
  assert.match(resumeToken, /^[\w-]{43}$/);
  for (const chunk of told) {
    assert.deepEqual([chunk?.type, chunk?.transient], ["data-session", true]);
    assert.equal((chunk?.data as { resumeToken: string }).resumeToken, resumeToken);
  }
  page.vanish();
  const again = await openPage(agent, `resume_token=${resumeToken}`);
  for (const [n, chat] of ["a", "b"].entries()) {
    const next = again.ask("And then?", { chat, id: `next ${chat}` });
    await until(() => agent.model.calls.length === 3 + n);
    assert.equal(agent.model.last.request.messages[1]?.content, `Hi ${chat}`);
    agent.model.last.finish("More");
    await ended(again, next);
    assert.equal(again.chunks(next)[0]?.type, "start", "a page that has the token is not told it");
  }
});

Deno.test("[AS3] a first conversation that is refused does not keep the others waiting", async () => {
  const agent = startAgent({ maxSessions: 1 });
  const holder = await agent.connect();
  const page = await openPage(agent, "");
  const asked = ["a", "b"].map((chat) => page.ask("Hi", { chat }));
  for (const request of asked) {
    await ended(page, request);
    assert.match(page.errorOf(request) ?? "", /^too_many_sessions: /);
  }
  assert.equal(page.closed, undefined);
  holder.vanish();
  const next = page.ask("Hi", { chat: "a" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.finish("Hello");
  await ended(page, next);
});

Deno.test("[AS12] a socket is one connection, whatever it carries, also for its user and its address", async () => {
  const agent = startAgent({ maxConnections: 2, maxConnectionsPerUser: 1, maxConnectionsPerAddress: 1 });
  agent.verifier.admit("ann's", "ann", Infinity);
  const page = await openPage(agent, "jwt=ann's");
  const asked = ["a", "b", "c"].map((chat) => page.ask("Hi", { chat }));
  await until(() => agent.model.calls.length === 3);
  for (const call of agent.model.calls) call.finish("Hello");
  for (const request of asked) await ended(page, request);
  assert.equal(agent.server.count().connections, 1);
  assert.equal(agent.metrics.render([]).match(/^agent_websocket_frames_received_total (\d+)$/m)?.[1], "3");
  const second = await openPage(agent, "jwt=ann's");
  const refused = second.ask("Hi");
  assert.match(second.errorOf(refused) ?? "", /^too_many_connections: .*this user has all they may have/);
  assert.deepEqual(second.closed, { code: 1013, reason: "Too many connections" });
  second.vanish();
  const anonymous = await openPage(agent, "");
  assert.equal(anonymous.closed, undefined);
  const third = await openPage(agent, "");
  third.resume();
  assert.equal(third.closed?.code, 1013);
  for (const one of [page, anonymous, third]) one.vanish();
  assert.deepEqual(agent.server.count().connections, 0);
  const again = await openPage(agent, "jwt=ann's");
  assert.equal(again.closed, undefined);
});

Deno.test("[AS12] a socket has 16 conversations: for another the one that is idle longest is left", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const hello = (): void => {
    for (const call of agent.model.calls) if (call.open) call.finish("Hello");
  };
  for (let n = 0; n < 18; n++) {
    const asked = page.ask("Hi", { chat: `c${n}`, id: `m${n}` });
    await until(() => agent.model.calls.length === n + 1);
    hello();
    await ended(page, asked);
  }
  const connections = [...agent.logged].filter(({ event }) => event === "connection_closed").length;
  assert.equal(connections, 2);
  // What was left is opened again.
  const back = page.ask("And then?", { chat: "c0", id: "back" });
  await until(() => agent.model.calls.length === 19);
  assert.equal(agent.model.last.request.messages.length, 4);
  hello();
  await ended(page, back);
  const busy = Array.from({ length: 17 }, (_, n) => page.ask("Hi", { chat: `busy ${n}`, id: `busy ${n}` }));
  assert.match(page.errorOf(busy[16] ?? "") ?? "", /^too_many_connections: /);
  await until(() => agent.model.calls.length === 19 + 16);
  hello();
  for (const request of busy.slice(0, 16)) await ended(page, request);
});

Deno.test("[AS12] each frame counts, an abort is never refused, and who goes on is sent away", async () => {
  const agent = startAgent();
  const page = await openPage(agent, undefined, { perMinute: 1, burst: 2 });
  const first = page.ask("A story", { id: "m1" });
  const resumed = page.resume();
  const refused = page.ask("Another", { id: "m2" });
  await until(() => agent.model.calls.length === 1 && page.types(resumed).length > 0);
  assert.match(page.errorOf(refused) ?? "", /^rate_limited: /);
  page.abort(first);
  await until(() => agent.model.last.aborted);
  const large = page.ask("x".repeat(2000), { id: "m3" });
  assert.match(page.errorOf(large) ?? "", /^rate_limited: /, "without being read");
  for (let n = 0; n < 100; n++) page.resume();
  agent.clock.advance(250);
  assert.deepEqual(page.closed, { code: 1008, reason: "Rate limit abused" });
});

Deno.test("[AS12] a question has the size that it has everywhere; the page's messages have their own limit", async () => {
  const agent = startAgent();
  const page = await openPage(agent, undefined, { maxMessageBytes: 1000, maxFrameBytes: 10_000 });
  const text = (length: number): string => "x".repeat(length);
  const long = page.ask(text(1000));
  assert.equal(page.errorOf(long), "message_too_large: Cannot take frame: it must have at most 1000 bytes");
  const history = [{ id: "m0", role: "user", parts: [{ type: "text", text: text(8000) }] }];
  const last = { id: "m1", role: "user", parts: [{ type: "text", text: "Hi" }] };
  const fits = page.ask("", { messages: [...history, last] });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.finish("Hello");
  await ended(page, fits);
  const large = page.ask("", { messages: [...history, ...history] });
  const words = "Cannot take frame: it must have at most 10000 bytes, so send the last message only";
  assert.equal(page.errorOf(large), `message_too_large: ${words}`);
  assert.equal(page.closed, undefined);
  // A frame that does not begin as the transport writes it has no request to fail.
  const other = await openPage(agent, undefined, { maxFrameBytes: 10_000 });
  other.say({ requestId: "r1", type: "send", id: "c1", messages: [text(20_000)] });
  agent.clock.advance(250);
  assert.deepEqual(other.closed, { code: 1009, reason: "Frame too large" });
  const far = await openPage(agent, undefined, { maxFrameBytes: 10_000 });
  far.say(text(160_001));
  agent.clock.advance(250);
  assert.equal(far.closed?.code, 1009);
});

Deno.test("[AS12] what comes before it is known who the user is waits, within bounds", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann", Infinity);
  for (const [frames, closed] of [[100, undefined], [101, 1008]] as const) {
    agent.verifier.gate = new Promise(() => {});
    const page = await openPage(agent, "jwt=ann's");
    for (let n = 0; n < frames; n++) page.resume(`c${n}`);
    agent.clock.advance(250);
    assert.equal(page.closed?.code, closed);
    page.vanish();
  }
});

Deno.test("[AS12] a page that does not read is closed, and what waits for it is bounded", async () => {
  const agent = startAgent({ maxBufferedBytes: 100_000 });
  const page = await openPage(agent, undefined, { maxBufferedBytes: 100_000 });
  const asked = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("x".repeat(1000));
  await until(() => page.text(asked).length === 1000);
  // Pieces are merged while the page is behind.
  page.bufferedAmount = 50_000;
  const { length } = page.frames;
  for (let n = 0; n < 10; n++) agent.model.last.say("y".repeat(100));
  await settle();
  assert.equal(page.frames.length, length);
  page.bufferedAmount = 0;
  agent.clock.advance(1000);
  assert.equal(page.frames.length, length + 1);
  assert.equal(page.text(asked).length, 2000);
  // A resume would send all of it again.
  page.bufferedAmount = 99_000;
  page.resume();
  await settle();
  assert.deepEqual(page.closed, { code: 3008, reason: "Slow consumer" });
});

Deno.test("[AS13] a deleted conversation fails its requests, and the others go on", async () => {
  const agent = startAgent();
  agent.verifier.admit("ann's", "ann", Infinity);
  const page = await openPage(agent, "jwt=ann's");
  const asked = page.ask("A story", { chat: "deleted" });
  const other = page.ask("Hi", { chat: "kept" });
  await until(() => agent.model.calls.length === 2);
  const beside = await agent.connect("jwt=ann's&chat_id=deleted");
  beside.command("delete");
  await ended(page, asked);
  assert.match(page.errorOf(asked) ?? "", /^unknown_session: The conversation was closed: Session deleted$/);
  agent.model.calls[1]?.finish("Hello");
  await ended(page, other);
  assert.equal(page.text(other), "Hello");
});

Deno.test("[AS13] an idle page is closed like an idle session, and one without a conversation too", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const asked = page.ask("Hi");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.finish("Hello");
  await ended(page, asked);
  const silent = await openPage(agent);
  agent.clock.advance(36 * 60_000);
  await settle();
  const timeout = { code: 1000, reason: "Session timeout" };
  assert.deepEqual([page.closed, silent.closed], [timeout, timeout]);
  // A page that does not answer the close is not waited for.
  agent.clock.advance(5000);
  assert.equal(agent.server.count().connections, 0);
  assert.equal(agent.memory.keptBytes, 0);
});

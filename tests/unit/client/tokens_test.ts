/** `getToken`: what the client does when it fails, never settles, or returns something that is no token. */

import assert from "node:assert/strict";
import type { AgentClientOptions } from "../../../client/options.ts";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient, type TestClient } from "../../support/scripted_sockets.ts";

type GetToken = NonNullable<AgentClientOptions["getToken"]>;

/** Advances the clock to the next timer, and lets the resulting work finish. */
async function tick({ clock }: TestClient): Promise<void> {
  clock.advance(clock.nextDelayMs ?? 0);
  await settle(1);
}

const never = new Promise<string>(() => {});

const FAILURES: Readonly<Record<string, [getToken: GetToken, words: RegExp]>> = {
  "never settles": [() => never, /`getToken` did not settle within 10 s/],
  "rejects": [() => Promise.reject(new Error("offline")), /`getToken` failed/],
  "throws": [() => {
    throw new Error("not ready");
  }, /`getToken` failed/],
  "returns an object": [() => ({ access_token: "t" }) as unknown as string, /other than a token \(object\)/],
  "returns text that cannot be sent": [() => "two words", /other than a token \(string\)/],
};

for (const [what, [getToken, words]] of Object.entries(FAILURES)) {
  Deno.test(`[CT1] getToken ${what}: an error says so, and the client asks again, more and more slowly`, async () => {
    let calls = 0;
    const test = scriptedClient({
      jitter: 0.99,
      getToken: (why) => ++calls < 4 ? getToken(why) : "token",
    });
    const { client, clock, events, sockets } = test;
    const began = clock.now();
    const turn = client.query("Hello");
    while (sockets.length === 0) await tick(test);
    assert.deepEqual(
      events.error.map(({ code, retryable }) => [code, retryable]),
      Array(3).fill(["token_failed", true]),
    );
    assert.match(events.error[0]?.message ?? "", words);
    assert.deepEqual(events.reconnecting.map(({ delayMs }) => delayMs), [99, 198, 396]);
    assert.ok(clock.now() - began < 35_000);
    sockets[0]?.welcome();
    assert.deepEqual(sockets[0]?.asked, [turn.id]);
    client.close();
    assert.equal(clock.pending, 0);
  });
}

Deno.test("[CT1] [CT11] while getToken does not settle, a question can be stopped and the client closed", async () => {
  const { client, clock, events, sockets } = scriptedClient({ getToken: () => never });
  const connected = client.connect();
  const turn = client.query("never mind");
  clock.advance(0);
  await settle();
  turn.cancel();
  assert.equal((await turn.final).outcome, "cancelled");
  const other = client.query("me too");
  assert.deepEqual(client.close(), [{ id: other.id, text: "me too" }]);
  await assert.rejects(connected, { code: "closed" });
  await assert.rejects(other.final, { code: "closed" });
  assert.equal(clock.pending, 0, "no deadline keeps the process alive");
  clock.advance(60_000);
  await settle();
  assert.deepEqual([events.error.length, sockets.length], [0, 0]);
});

Deno.test("[CT1] a token that comes after its deadline is not used", async () => {
  let resolve: (token: string) => void = () => {};
  const { client, clock, sockets } = scriptedClient({
    getToken: () => new Promise((done) => resolve = done),
  });
  void client.connect();
  clock.advance(0);
  await settle();
  clock.advance(10_000);
  await settle();
  resolve("late");
  await settle();
  assert.equal(sockets.length, 0);
  client.close();
});

Deno.test("[CT8] a server that requires a token: nobody connects anonymously after a refusal, and signing in is noticed", async () => {
  const account: { token?: string } = {};
  const asked: string[] = [];
  const test = scriptedClient({ getToken: (why) => (asked.push(why), account.token) });
  const { client, events, sockets, wake, socket: next } = test;
  void client.connect();
  const socket = await next();
  assert.deepEqual(socket.protocols, ["agent-websocket.v1"]);
  socket.error("unauthorized");
  socket.end(4001, "Unauthorized");
  for (let at = 0; at < 6; at++) await tick(test);
  assert.match(
    events.error.at(-1)?.message ?? "",
    /the server requires a token, and `getToken` returned none/,
  );
  assert.deepEqual([sockets.length, events.close.length], [1, 0]);
  account.token = "token";
  wake.fire("online");
  assert.deepEqual((await next()).protocols, ["agent-websocket.v1", "jwt-token"]);
  assert.deepEqual(new Set(asked.slice(1)), new Set(["rejected"]));
  client.close();
});

Deno.test("[CT16] a token that cannot be renewed in time is told of, and the connection stays", async () => {
  const { client, clock, events, welcomed } = scriptedClient({
    getToken: (why) => why === "connect" ? "token" : never,
  });
  const socket = await welcomed();
  socket.answersPings = true;
  socket.notice("token_expiring");
  clock.advance(10_000);
  await settle();
  assert.deepEqual(events.error.map(({ code }) => code), ["token_failed"]);
  assert.equal(client.status, "open");
  socket.notice("token_expiring");
  client.close();
  assert.equal(clock.pending, 0);
});

import assert from "node:assert/strict";
import { settle } from "../../support/manual_clock.ts";
import { scriptedClient } from "../../support/scripted_sockets.ts";

const WHOLE = { recovered: true, from_seq: 1, to_seq: 0 };

Deno.test("[CT8] [AU3] 4001: one more attempt, with a new token, then it stops", async () => {
  const asked: string[] = [];
  const { client, events, socket: next } = scriptedClient({
    getToken: (why) => (asked.push(why), `token${asked.length}`),
  });
  const connected = client.connect();
  const socket = await next();
  socket.error("unauthorized");
  socket.end(4001);
  const again = await next();
  assert.deepEqual(again.protocols, ["agent-websocket.v1", "jwt-token2"]);
  again.end(4001, "Unauthorized");
  await assert.rejects(connected, { code: "closed" });
  assert.deepEqual(asked, ["connect", "rejected"]);
  assert.equal(events.close[0]?.code, 4001);
});

Deno.test("[CT8] [AU8] a token that ends on a connection that stood for long: a new one each time, and none lost", async () => {
  const { client, clock, welcomed, socket: next } = scriptedClient({ getToken: () => "token" });
  let socket = await welcomed();
  for (let hour = 0; hour < 3; hour++) {
    socket.answersPings = true;
    clock.advance(3_600_000);
    assert.equal(client.status, "open");
    socket.end(4001, "Token expired");
    socket = await next();
    socket.welcome({ resumed: WHOLE });
  }
  assert.equal(client.status, "open");
});

Deno.test("[CT8] 4001 without a way to get a token stops at once", async () => {
  const { client, events, socket: next } = scriptedClient();
  void client.connect();
  (await next()).end(4001);
  assert.equal(events.reconnecting.length, 0);
  assert.equal(client.status, "closed");
});

Deno.test("[CT16] [AU6] a token that is about to end is renewed on the spot", async () => {
  const asked: string[] = [];
  const { events, welcomed } = scriptedClient({
    getToken: (why) => (asked.push(why), Promise.resolve(`token${asked.length}`)),
  });
  const socket = await welcomed();
  socket.say({ type: "notification", code: "token_expiring", content: "soon", timestamp: "" });
  await settle();
  assert.deepEqual(socket.sent.map(({ content, args }) => [content, args]), [["auth", { token: "token2" }]]);
  socket.status("auth_ok", String(socket.sent[0]?.id));
  assert.deepEqual(asked, ["connect", "expiring"]);
  assert.equal(events.notification[0]?.code, "token_expiring");
  socket.say({ type: "notification", code: "token_expiring", content: "soon", timestamp: "" });
  await settle();
  socket.error("unauthorized", { in_reply_to: socket.sent[1]?.id });
  await settle();
  assert.deepEqual(events.error.map(({ code }) => code), ["unauthorized"]);
});

Deno.test("[CT11] close gives back what the server never took, and the rest fails", async () => {
  const { client, clock, events, welcomed } = scriptedClient();
  const socket = await welcomed();
  const [taken, sent] = [client.query("taken"), client.query("sent")];
  socket.status("thinking", taken.id, { seq: 1 });
  const command = client.command("clear");
  const unsent = client.close();
  assert.deepEqual(unsent, [{ id: sent.id, text: "sent" }]);
  assert.equal(socket.closedWith, 1000);
  await assert.rejects(sent.final, { code: "closed", unsent: { id: sent.id, text: "sent" } });
  await assert.rejects(taken.final, { code: "closed", unsent: undefined });
  await assert.rejects(command, { code: "closed" });
  assert.deepEqual(events.close.map(({ code, unsent }) => [code, unsent]), [[1000, unsent]]);
  assert.equal(clock.pending, 0);
  await assert.rejects(client.query("too late").final, { code: "closed" });
  await assert.rejects(client.command("ping"), { code: "closed" });
  assert.deepEqual(client.close(), []);
});

Deno.test("[CT11] a client that was closed may connect again, to its session or, told to forget it, to a fresh one", async () => {
  const { client, welcomed, events } = scriptedClient();
  await welcomed({ resume_token: "secret" });
  client.close();
  const again = await welcomed({ resumed: WHOLE });
  assert.equal(again.url.searchParams.get("session_id"), "s1");
  client.close({ forget: true });
  const fresh = await welcomed({ session_id: "s2" });
  assert.equal(fresh.url.searchParams.get("session_id"), null);
  assert.deepEqual(fresh.protocols, ["agent-websocket.v1"]);
  assert.deepEqual([events.open.length, events.reconnected.length], [1, 2]);
});

for (const recovered of [true, false]) {
  const then = recovered ? "goes on in it" : "begins a new one if it is gone, and says so";
  Deno.test(`[CT6] [LM6] a session that was not used ends the connection; the next query ${then}`, async () => {
    const { client, clock, events, sockets, wake, welcomed, socket: next } = scriptedClient();
    const socket = await welcomed({ resume_token: "secret" });
    const first = client.query("Hello");
    socket.response(first.id, 1, "Hi");
    socket.notice("session_timeout");
    socket.end(1000, "Session timeout");
    assert.equal(client.status, "idle");
    assert.deepEqual(events.close, [{ code: 1000, reason: "Session timeout", unsent: [] }]);
    assert.deepEqual([clock.pending, events.reconnecting.length], [0, 0]);
    wake.fire("online");
    await settle();
    assert.equal(sockets.length, 1, "nobody waits for an answer");

    const turn = client.query("I am back");
    const again = await next();
    assert.equal(again.url.searchParams.get("session_id"), "s1");
    assert.equal(again.url.searchParams.get("last_seq"), "1");
    assert.ok(again.protocols.includes("resume-secret"));
    again.welcome(
      recovered ? { resumed: { recovered, from_seq: 2, to_seq: 1 } } : {
        session_id: "s2",
        resumed: { recovered, from_seq: 1, to_seq: 0, reason: "unknown_session" },
      },
    );
    assert.deepEqual(again.asked, [turn.id]);
    assert.equal(events.reconnected[0]?.resumed?.recovered, recovered);
    assert.deepEqual(client.turns.map(({ question }) => question), ["Hello", "I am back"]);
    client.close();
  });
}

Deno.test("[CT6] a query that crosses the close of an idle session is sent again at once", async () => {
  const { client, events, welcomed, socket: next } = scriptedClient();
  const socket = await welcomed();
  socket.notice("session_timeout");
  const turn = client.query("Still there?");
  socket.end(1000, "Session timeout");
  assert.deepEqual([events.close.length, events.reconnecting[0]?.delayMs], [0, 0]);
  const again = await next();
  again.welcome({ resumed: WHOLE });
  assert.deepEqual(again.asked, [turn.id]);
});

for (
  const [what, notice, reason] of [
    ["of a proxy, without a reason", undefined, ""],
    ["of a proxy, with a reason", undefined, "bye"],
    ["with our reason, but without the notice", undefined, "Session timeout"],
    ["after another notice", "reconnecting", "Session timeout"],
    ["after the notice, with another reason", "session_timeout", "bye"],
  ] as const
) {
  Deno.test(`[CT6] a 1000 ${what} is a lost connection: the answer goes on in the same session`, async () => {
    const { client, events, welcomed, socket: next } = scriptedClient();
    const socket = await welcomed();
    const turn = client.query("A story");
    socket.status("thinking", turn.id, { seq: 1 });
    socket.delta(turn.id, 0, "Once ");
    if (notice !== undefined) socket.notice(notice);
    socket.end(1000, reason);
    assert.deepEqual([client.status, events.close.length], ["reconnecting", 0]);
    const again = await next();
    assert.equal(again.url.searchParams.get("session_id"), "s1");
    again.welcome({ resumed: { recovered: true, from_seq: 2, to_seq: 1 } });
    again.response(turn.id, 2, "Once upon a time");
    assert.equal((await turn.final).text, "Once upon a time");
  });
}

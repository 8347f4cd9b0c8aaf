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
    clock.advance(3_600_000);
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

Deno.test("[CT11] [LM6] a session that timed out ends the connection; the next query begins a fresh one", async () => {
  const { client, welcomed, socket: next } = scriptedClient();
  (await welcomed()).end(1000, "Session timeout");
  assert.equal(client.status, "closed");
  const turn = client.query("I am back");
  const socket = await next();
  assert.equal(socket.url.searchParams.get("session_id"), null);
  socket.welcome({ session_id: "s2" });
  assert.deepEqual(socket.asked, [turn.id]);
});

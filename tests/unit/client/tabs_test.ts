/** Several tabs of one session, and one client with several conversations. */

import assert from "node:assert/strict";
import { AgentClient } from "../../../client/client.ts";
import { settle } from "../../support/manual_clock.ts";
import { MemoryStorage, scriptedClient, ScriptedSocket } from "../../support/scripted_sockets.ts";

function copyOf({ items }: MemoryStorage): MemoryStorage {
  const copy = new MemoryStorage();
  for (const [key, value] of items) copy.setItem(key, value);
  return copy;
}

Deno.test("[CT17] [QU4] a duplicated tab asks the same question under the same id, and both get its answer", async () => {
  const storage = new MemoryStorage();
  const first = scriptedClient({ storage });
  const socket = await first.welcomed();
  const { id } = first.client.query("A story", { id: "story" });
  const second = scriptedClient({ storage: copyOf(storage) });
  const other = await second.welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  assert.deepEqual([socket.asked, other.asked], [[id], [id]]);
  for (const tab of [socket, other]) {
    tab.status("thinking", id, { seq: 1 });
    tab.response(id, 2, "Once upon a time");
  }
  for (const { client } of [first, second]) {
    assert.deepEqual(client.turns.map(({ id, text }) => [id, text]), [["story", "Once upon a time"]]);
  }
});

Deno.test("[CT12] a question that was interrupted is asked again under one id by every tab, also the one that comes late", async () => {
  const storage = new MemoryStorage();
  const first = scriptedClient({ storage });
  const socket = await first.welcomed();
  const turn = first.client.query("A story", { id: "story" });
  socket.status("thinking", turn.id, { seq: 1 });
  const copy = copyOf(storage);
  for (const seq of [2, 4]) {
    socket.error("interrupted", { in_reply_to: turn.id, seq, retryable: true });
    socket.status("thinking", turn.id, { seq: seq + 1 });
  }
  socket.response(turn.id, 6, "Once upon a time");
  const late = scriptedClient({ storage: copy });
  const other = await late.welcomed({ resumed: { recovered: true, from_seq: 2, to_seq: 6 } });
  const [restored] = late.client.turns;
  for (const seq of [2, 4]) {
    other.error("interrupted", { in_reply_to: String(restored?.id), seq, retryable: true });
    other.status("thinking", String(restored?.id), { seq: seq + 1 });
  }
  other.response(String(restored?.id), 6, "Once upon a time");
  assert.deepEqual(other.asked, socket.asked);
  assert.equal(new Set(socket.asked).size, 3);
  assert.deepEqual(late.client.turns.map(({ text }) => text), ["Once upon a time"]);
});

Deno.test("[CT12] the id of a question that is asked again is no longer than the server takes", async () => {
  const { client, welcomed } = scriptedClient();
  const socket = await welcomed();
  const turn = client.query("A story", { id: "x".repeat(128) });
  for (let seq = 1; seq <= 3; seq++) {
    socket.error("interrupted", { in_reply_to: turn.id, seq, retryable: true });
  }
  assert.equal(new Set(socket.asked).size, 4);
  assert.ok(socket.asked.every((id) => id.length <= 128));
});

Deno.test("[CT20] a chat is a client of its own: its id at every connection, its own session in the storage", async () => {
  const storage = new MemoryStorage();
  const sockets: ScriptedSocket[] = [];
  const open = (): AgentClient =>
    new AgentClient("wss://a.example/f", {
      storage,
      wake: {},
      WebSocket: class extends ScriptedSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols);
          sockets.push(this);
        }
      },
    });
  /** The socket of the next connection of a client, welcomed. */
  const connect = async (client: AgentClient, session: string, count: number): Promise<ScriptedSocket> => {
    void client.connect();
    while (sockets.length < count) await new Promise((resolve) => setTimeout(resolve, 0));
    const socket = sockets.at(-1) ?? assert.fail();
    socket.welcome({ session_id: session, resume_token: `secret-${session}` });
    return socket;
  };
  const client = open();
  const [trips, recipes] = [client.chat("trips"), client.chat("recipes & more")];
  assert.equal(client.chat("trips"), trips);
  await settle();
  assert.equal(sockets.length, 0, "a chat connects when it is used");
  const first = await connect(trips, "s1", 1);
  const second = await connect(recipes, "s2", 2);
  assert.equal(first.url.searchParams.get("chat_id"), "trips");
  assert.deepEqual(
    [second.url.searchParams.get("chat_id"), second.url.searchParams.get("session_id")],
    ["recipes & more", null],
  );
  const plain = await connect(client, "s0", 3);
  assert.equal(plain.url.searchParams.has("chat_id"), false);
  const turn = trips.query("Where to?");
  assert.deepEqual([first.asked, second.asked, plain.asked], [[turn.id], [], []]);
  client.wake();
  assert.deepEqual([first, second, plain].map(({ commands }) => commands), [["ping"], ["ping"], ["ping"]]);
  client.close();
  assert.deepEqual([client.status, trips.status, recipes.status], ["closed", "closed", "closed"]);

  const later = open();
  const again = await connect(later.chat("trips"), "s1", 4);
  assert.deepEqual(
    ["chat_id", "session_id", "last_seq"].map((name) => again.url.searchParams.get(name)),
    ["trips", "s1", "0"],
  );
  assert.ok(again.protocols.includes("resume-secret-s1"));
  later.close({ forget: true });
  assert.deepEqual([...storage.items.keys()].sort(), ["agent-websocket:recipes & more"]);
  assert.notEqual(later.chat("trips"), again, "a closed client gives new chats");
});

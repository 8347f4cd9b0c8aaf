/** The commands about conversations: list, search, rename, archive, delete. */

import assert from "node:assert/strict";
import { cutText } from "../../../supabase/functions/_shared/session/conversation_summary.ts";
import type { SeenFrame, TestClient } from "../../support/agent_harness.ts";
import { query, response } from "../../support/log_events.ts";
import { settle } from "../../support/manual_clock.ts";
import { startWorkers, type TestWorker, type Workers } from "../../support/workers.ts";

interface Row {
  session_id: string;
  [name: string]: unknown;
}

async function start(): Promise<{ workers: Workers; a: TestWorker; b: TestWorker; client: TestClient }> {
  const workers = startWorkers();
  const [a, b] = [workers.start("a"), workers.start("b")];
  for (const { verifier } of [a, b]) for (const name of ["ann", "bob"]) verifier.admit(`${name}'s`, name);
  return { workers, a, b, client: await a.connect("jwt=ann's&chat_id=first") };
}

async function command(client: TestClient, verb: string, args?: Record<string, unknown>): Promise<SeenFrame> {
  const id = crypto.randomUUID();
  client.command(verb, args, id);
  await settle();
  const answer = client.frames.find(({ in_reply_to }) => in_reply_to === id);
  assert.ok(answer !== undefined, verb);
  return answer;
}

async function list(
  client: TestClient,
  args: Record<string, unknown> = {},
): Promise<{ sessions: Row[]; before?: string }> {
  return (await command(client, "sessions", args)).data as { sessions: Row[]; before?: string };
}

const idsOf = ({ sessions }: { sessions: Row[] }): string[] => sessions.map(({ session_id }) => session_id);

Deno.test("[CV1] [CV2] [CM1] sessions lists a user's conversations, the most recently active first, in pages", async () => {
  const { workers, a, b, client } = await start();
  client.ask("  What is\n a chat? ");
  await settle();
  await workers.pass(1000);
  const second = await b.connect("jwt=ann's");
  const [stranger] = [await b.connect("jwt=bob's")];
  const running = await list(second);
  assert.deepEqual(running.sessions, [
    {
      session_id: second.sessionId,
      title: "",
      preview: "",
      created_at: new Date(workers.clock.now()).toISOString(),
      last_activity: new Date(workers.clock.now()).toISOString(),
      state: "idle",
      archived: false,
      current: true,
    },
    {
      session_id: client.sessionId,
      chat_id: "first",
      title: "What is a chat?",
      preview: "What is a chat?",
      created_at: new Date(workers.clock.now() - 1000).toISOString(),
      last_activity: new Date(workers.clock.now() - 1000).toISOString(),
      state: "running",
      archived: false,
      current: false,
    },
  ]);
  await workers.pass(1);
  a.model.last.finish("A conversation.");
  await settle();
  const { sessions: [newest] } = await list(second);
  assert.deepEqual([newest?.session_id, newest?.preview, newest?.state], [
    client.sessionId,
    "A conversation.",
    "idle",
  ]);
  const page = await list(second, { limit: 1 });
  assert.deepEqual([idsOf(page), page.before], [[client.sessionId], client.sessionId]);
  const last = await list(second, { limit: 1, before: page.before });
  assert.deepEqual([idsOf(last), last.before], [[second.sessionId], undefined]);
  assert.deepEqual(idsOf(await list(stranger)), [stranger.sessionId]);
});

Deno.test("[CV3] [CV4] [CV5] rename, archive and search reach every conversation of the user, at any worker", async () => {
  const { workers, a, b, client } = await start();
  client.ask("Trains to Berlin");
  await settle();
  a.model.last.finish("Many.");
  await settle();
  const other = await b.connect("jwt=ann's");
  const id = client.sessionId;
  const renamed = await command(other, "rename", { title: ` ${"x".repeat(150)}\tSummer `, session_id: id });
  assert.deepEqual([renamed.code, renamed.data], ["renamed", {
    session_id: id,
    title: `${"x".repeat(150)} Summer`,
  }]);
  assert.deepEqual(idsOf(await list(other, { search: "berlin summ" })), [id]);
  assert.deepEqual(idsOf(await list(other, { search: "many" })), []);
  const own = await command(other, "rename", { title: "Mine" });
  assert.deepEqual(own.data, { session_id: other.sessionId, title: "Mine" });

  assert.deepEqual((await command(other, "archive", { session_id: id })).data, {
    session_id: id,
    archived: true,
  });
  assert.deepEqual(idsOf(await list(client)), [other.sessionId]);
  assert.deepEqual(idsOf(await list(client, { archived: true })), [id]);
  const back = await command(client, "archive", { archived: false });
  assert.deepEqual([back.code, back.data], ["archived", { session_id: id, archived: false }]);
  await command(client, "archive");
  await workers.pass(1);
  client.ask("And back?");
  await settle();
  assert.deepEqual(idsOf(await list(client)), [id, other.sessionId]);
});

Deno.test("[CV5] [RS3] a conversation of another user, or of none, is unknown to rename, archive and delete", async () => {
  const { a, b, client } = await start();
  const stranger = await b.connect("jwt=bob's");
  const anonymous = await b.connect();
  for (const from of [stranger, anonymous]) {
    for (const session_id of [client.sessionId, crypto.randomUUID(), "never"]) {
      for (const [verb, args] of [["rename", { title: "x" }], ["archive", {}], ["delete", {}]] as const) {
        const { type, code, retryable } = await command(from, verb, { ...args, session_id });
        assert.deepEqual([type, code, retryable], ["error", "unknown_session", false], verb);
      }
    }
  }
  assert.deepEqual([client.isOpen, stranger.isOpen, anonymous.isOpen], [true, true, true]);
  assert.equal((await list(client)).sessions[0]?.title, "");
  // An anonymous owner may name and archive the session of the connection.
  assert.equal((await command(anonymous, "rename", { title: "Mine" })).code, "renamed");
  await command(anonymous, "archive");
  assert.deepEqual((await list(anonymous)).sessions, []);
  assert.equal((await list(anonymous, { archived: true, search: "mine" })).sessions[0]?.title, "Mine");
  assert.equal(a.server.count().connections, 1);
});

Deno.test("[CV6] [DU9] delete of another session ends it at every worker, and the connection that asked stays", async () => {
  const { a, b, client, workers } = await start();
  client.ask("one");
  await settle();
  const second = await b.connect(`jwt=ann's&${client.resumeQuery(0)}`);
  for (const from of [await b.connect("jwt=ann's"), await a.connect("jwt=ann's")]) {
    const { code } = await command(from, "archive", { session_id: client.sessionId });
    assert.equal(code, "archived");
  }
  const third = workers.start("c");
  third.verifier.admit("ann's", "ann");
  // A worker that does not hold it.
  const from = await third.connect("jwt=ann's");
  const deleted = await command(from, "delete", { session_id: client.sessionId });
  assert.deepEqual([deleted.code, deleted.data], ["deleted", { session_id: client.sessionId }]);
  assert.deepEqual([client.closed?.code, second.closed?.code, from.isOpen], [4009, 4009, true]);
  assert.ok(a.model.last.signal.aborted);
  assert.equal((await workers.store.heads([client.sessionId])).size, 0);
  assert.equal((await command(from, "delete", { session_id: client.sessionId })).code, "unknown_session");
  // A worker that does.
  const [one, two] = [await a.connect("jwt=ann's"), await a.connect("jwt=ann's")];
  await command(one, "delete", { session_id: two.sessionId });
  assert.deepEqual([two.closed?.code, one.isOpen], [4009, true]);
  // Its own, named.
  await command(one, "delete", { session_id: one.sessionId });
  assert.equal(one.closed?.code, 4009);
});

Deno.test("[CM5] [CV5] while the store is out of reach, the commands are refused, and nothing has changed", async () => {
  const { a, client } = await start();
  client.ask("one");
  await settle();
  const other = await a.connect("jwt=ann's");
  a.isCutOff = true;
  const session_id = client.sessionId;
  for (
    const [verb, args] of [["rename", { title: "x" }], ["archive", {}], ["delete", {}], [
      "sessions",
      {},
    ]] as const
  ) {
    const { code, retryable } = await command(
      other,
      verb,
      verb === "sessions" ? {} : { ...args, session_id },
    );
    assert.deepEqual([code, retryable], ["store_unavailable", true], verb);
  }
  a.isCutOff = false;
  assert.ok(client.isOpen);
  assert.equal((await list(other)).sessions.find((row) => row.session_id === session_id)?.title, "one");
});

Deno.test("[RW3] history leaves out what a rewind has superseded, and pages over it", async () => {
  const { workers, b, client: { sessionId } } = await start();
  const events = ["1", "2", "3", "4"].flatMap((id) => [query(id, `q${id}`), response(id, `a${id}`)]);
  await workers.store.commit(sessionId, { events });
  await workers.store.commit(sessionId, {
    events: [{ ...query("5", "q5"), replaces: "3" }, response("5", "a5")],
  });
  const client = await b.connect(`jwt=ann's&session_id=${sessionId}`);
  const page = async (args: Record<string, unknown>): Promise<[string[], unknown]> => {
    const { messages, before_seq } = (await command(client, "history", args)).data as {
      messages: { content: string }[];
      before_seq?: number;
    };
    return [messages.map(({ content }) => content), before_seq];
  };
  assert.deepEqual(await page({}), [["q1", "a1", "q2", "a2", "q5", "a5"], undefined]);
  assert.deepEqual(await page({ limit: 2 }), [["q5", "a5"], 10]);
  assert.deepEqual(await page({ limit: 3, before_seq: 10 }), [["q2", "a2"], 3]);
  assert.deepEqual(await page({ limit: 3, before_seq: 3 }), [["q1", "a1"], undefined]);
});

Deno.test("[CV2] a text is cut between characters, not inside one", () => {
  assert.equal(cutText("\u{1F600}".repeat(3), 3), "\u{1F600}".repeat(3));
  assert.equal(cutText("\u{1F600}".repeat(4), 3), `${"\u{1F600}".repeat(2)}…`);
  assert.equal(cutText(" a \0\r\n b  ", 3), "a b");
  assert.equal(cutText("ab cd", 4), "ab…");
});

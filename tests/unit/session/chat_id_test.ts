/** Conversations that are opened by the app's own name. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { parseConnectRequest } from "../../../supabase/functions/_shared/protocol/connect_request.ts";
import { startAgent, type TestClient } from "../../support/agent_harness.ts";
import { settle } from "../../support/manual_clock.ts";
import { startWorkers, type TestWorker } from "../../support/workers.ts";

async function ask(worker: TestWorker, client: TestClient, content: string): Promise<void> {
  client.ask(content);
  await settle();
  worker.model.last.finish(`re ${content}`);
  await settle();
}

function startTwo(): { a: TestWorker; b: TestWorker } {
  const workers = startWorkers();
  const [a, b] = [workers.start("a"), workers.start("b")];
  for (const { verifier } of [a, b]) for (const name of ["ann", "bob"]) verifier.admit(`${name}'s`, name);
  return { a, b };
}

const resumed = ({ welcome }: TestClient): unknown => welcome.resumed;

Deno.test("[CH1] a user's chat is made by its first connection and opened by the others, at any worker", async () => {
  const { a, b } = startTwo();
  const first = await a.connect("jwt=ann's&chat_id=trip");
  assert.deepEqual([first.welcome.chat_id, resumed(first), first.welcome.resume_token], [
    "trip",
    undefined,
    undefined,
  ]);
  await ask(a, first, "one");
  const second = await b.connect("jwt=ann's&chat_id=trip");
  assert.deepEqual([second.sessionId, second.welcome.chat_id], [first.sessionId, "trip"]);
  assert.deepEqual(resumed(second), { recovered: true, from_seq: 1, to_seq: 2 });
  assert.deepEqual(second.seqs, [1, 2]);
  const third = await a.connect("jwt=ann's&chat_id=trip&last_seq=1");
  assert.deepEqual([third.sessionId, resumed(third)], [first.sessionId, {
    recovered: true,
    from_seq: 2,
    to_seq: 2,
  }]);
  const other = await a.connect("jwt=ann's&chat_id=work");
  const bobs = await a.connect("jwt=bob's&chat_id=trip");
  const none = await a.connect("jwt=ann's");
  assert.equal(new Set([first, other, bobs, none].map(({ sessionId }) => sessionId)).size, 4);
  assert.equal(none.welcome.chat_id, undefined);
  assert.equal((await a.store.list({ userId: "ann" }, { limit: 9 })).length, 3);
});

Deno.test("[CH2] an anonymous chat belongs to the resume token; another chat with the token is a session of the same token", async () => {
  const { a, b } = startTwo();
  const first = await a.connect("chat_id=trip");
  const token = String(first.welcome.resume_token);
  await ask(a, first, "one");
  const again = await b.connect(`chat_id=trip&resume_token=${token}`);
  assert.deepEqual([again.sessionId, again.welcome.resume_token], [first.sessionId, token]);
  assert.deepEqual(again.seqs, [1, 2]);
  const work = await b.connect(`chat_id=work&resume_token=${token}`);
  assert.notEqual(work.sessionId, first.sessionId);
  assert.deepEqual([work.welcome.resume_token, work.welcome.chat_id, resumed(work)], [
    token,
    "work",
    undefined,
  ]);
  assert.equal((await a.connect(`chat_id=work&resume_token=${token}`)).sessionId, work.sessionId);
  // Without the token, or with a word of the client's own, it is another person's conversation.
  for (
    const query of ["chat_id=trip", "chat_id=trip&resume_token=guess", `chat_id=trip&resume_token=${token}x`]
  ) {
    const stranger = await a.connect(query);
    assert.notEqual(stranger.sessionId, first.sessionId, query);
    assert.notEqual(stranger.welcome.resume_token, token, query);
    assert.equal(String(stranger.welcome.resume_token).length, 43);
  }
});

Deno.test("[CH4] with a session id and a chat id the session counts, then the chat", async () => {
  const { a, b } = startTwo();
  const named = await a.connect("jwt=ann's");
  const chat = await a.connect("jwt=ann's&chat_id=trip");
  await ask(a, chat, "one");
  assert.equal(
    (await b.connect(`jwt=ann's&chat_id=trip&session_id=${named.sessionId}`)).sessionId,
    named.sessionId,
  );
  const byChat = await b.connect(`jwt=ann's&chat_id=trip&session_id=${crypto.randomUUID()}&last_seq=1`);
  assert.deepEqual([byChat.sessionId, resumed(byChat)], [chat.sessionId, {
    recovered: true,
    from_seq: 2,
    to_seq: 2,
  }]);
  const unknown = { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" };
  const gone = await b.connect(`jwt=ann's&chat_id=new&session_id=${crypto.randomUUID()}`);
  assert.deepEqual([resumed(gone), gone.welcome.chat_id], [unknown, "new"]);
  // It has seen events of a conversation that is no more.
  assert.deepEqual(resumed(await b.connect("jwt=ann's&chat_id=newer&last_seq=7")), unknown);
});

Deno.test("[CH1] [CM4] a chat that was deleted is made again as another session", async () => {
  const { a, b } = startTwo();
  const first = await a.connect("jwt=ann's&chat_id=trip");
  await ask(a, first, "one");
  first.command("delete");
  await settle();
  const second = await b.connect("jwt=ann's&chat_id=trip");
  assert.notEqual(second.sessionId, first.sessionId);
  assert.deepEqual([resumed(second), second.seqs], [undefined, []]);
});

Deno.test("[CH3] connections that open one chat at the same time, at any workers, are in one session", async () => {
  const dial = fc.record({
    worker: fc.nat({ max: 2 }),
    latencyMs: fc.constantFrom(0, 10, 30),
    after: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(dial, { minLength: 2, maxLength: 8 }), fc.boolean(), async (dials, isUser) => {
      const workers = startWorkers();
      const all = ["a", "b", "c"].map((name) => workers.start(name));
      for (const { verifier } of all) verifier.admit("ann's", "ann");
      const who = isUser ? "jwt=ann's" : `resume_token=${"t".repeat(43)}`;
      const clients: TestClient[] = [];
      for (const { worker, latencyMs, after } of dials) {
        const at = all[worker];
        assert.ok(at !== undefined);
        at.latencyMs = latencyMs;
        clients.push(at.dial(`${who}&chat_id=same`));
        if (after) await workers.pass(5);
      }
      // A resume token is hashed on another thread, so it is not known when a client's calls to the store begin.
      for (let turn = 0; clients.some(({ connection }) => connection.state === "opening"); turn++) {
        assert.ok(turn < 100_000, "the connections did not open");
        await workers.pass(10);
      }
      assert.equal(new Set(clients.map(({ sessionId }) => sessionId)).size, 1);
      assert.equal(clients.filter((client) => resumed(client) === undefined).length, 1);
      for (const { connection } of clients) connection.lost(1006);
    }),
    { numRuns: 25 },
  );
});

Deno.test("[CH3] a chat id that others keep making and deleting ends in a retryable error", async () => {
  const { connect, store } = startAgent();
  store.findByChat = () => Promise.resolve(undefined);
  const first = await connect("chat_id=a");
  const second = await connect(`chat_id=a&resume_token=${first.welcome.resume_token}`);
  const { code, retryable } = second.only("error");
  assert.deepEqual([code, retryable, second.closed?.code], ["store_unavailable", true, 1013]);
});

Deno.test("[HS2] [CH1] a chat id has 1 to 128 characters", () => {
  const parse = (chatId: string): unknown =>
    parseConnectRequest(new URL(`http://x/?chat_id=${encodeURIComponent(chatId)}`), new Headers()).resume
      ?.chatId;
  for (const chatId of ["a", "x".repeat(128), "\u{1F600} / ?&=", "\0"]) assert.equal(parse(chatId), chatId);
  for (const chatId of ["", "x".repeat(129)]) {
    assert.throws(() => parse(chatId), {
      code: "invalid_frame",
      message: /"chat_id" must be 1 to 128 characters/,
    });
  }
  assert.equal(parseConnectRequest(new URL("http://x/"), new Headers()).resume, undefined);
});

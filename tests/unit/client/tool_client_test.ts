/** The client for agents with tools: calls, approvals, and tools of the page. */

import assert from "node:assert/strict";
import type { ToolClient } from "../../../client/tool_client.ts";
import { settle } from "../../support/manual_clock.ts";
import {
  MemoryStorage,
  type ScriptedSocket,
  scriptedToolClient,
  type TestClient,
} from "../../support/scripted_sockets.ts";
import { EXPIRES_AT, ToolFrames } from "../../support/tool_frames.ts";

interface Stage extends TestClient<ToolClient> {
  socket1: ScriptedSocket;
  frames: ToolFrames;
}

/** A question whose model wants a refund that needs approval. */
async function waiting(options: Parameters<typeof scriptedToolClient>[0] = {}): Promise<Stage> {
  const scripted = scriptedToolClient(options);
  const socket1 = await scripted.welcomed();
  const turn = scripted.client.query("Refund it");
  const frames = new ToolFrames(turn.id);
  socket1.say(frames.thinking());
  socket1.say(frames.call("refund", { needs: "approval", input: { amount: 25 }, text: "Let me see." }));
  socket1.say(frames.requested("refund", { amount: 25 }));
  return { ...scripted, socket1, frames };
}

function states({ client }: { client: ToolClient }): string[] {
  return client.calls.map(({ name, state }) => `${name} ${state}`);
}

Deno.test("[CT23] the client asks for tools, and tells of each call as it changes", async () => {
  const scripted = scriptedToolClient({ parameters: { agent: "sales" } });
  const { client } = scripted;
  const changes: string[] = [];
  client.on(
    "call",
    ({ name, state, output }) => changes.push([name, state, output].filter(Boolean).join(" ")),
  );
  const socket = await scripted.welcomed();
  assert.deepEqual(
    ["tools", "agent", "stream"].map((name) => socket.url.searchParams.get(name)),
    ["true", "sales", "true"],
  );
  const frames = new ToolFrames(client.query("Hi").id);
  socket.say(frames.thinking());
  socket.say(frames.call("find"));
  socket.say(frames.call("mine", { place: 1 }));
  assert.deepEqual(states(scripted), ["find pending", "mine pending"]);
  socket.say(frames.started("find"));
  socket.say(frames.result("find", "2"));
  socket.say(frames.started("mine", 1));
  socket.say(frames.result("mine", "no", "error", 1));
  assert.deepEqual(changes, [
    "find pending",
    "mine pending",
    "find running",
    "find done 2",
    "mine running",
    "mine failed no",
  ]);
  socket.say(frames.response("Done."));
  assert.deepEqual(states(scripted), [], "only open turns have calls to act on");
  assert.deepEqual(client.callsOf(frames.turnId).map(({ state }) => state), ["done", "failed"]);
  client.close();
});

Deno.test("[CT24] what waits for approval is listed until somebody decides, and the decision is sent", async () => {
  const stage = await waiting();
  const { client, socket1, frames } = stage;
  const id = frames.callId(0);
  assert.deepEqual(client.approvals, [{
    approvalId: id,
    callId: id,
    turnId: frames.turnId,
    name: "refund",
    input: { amount: 25 },
    expiresAt: EXPIRES_AT,
  }]);
  const decided = client.reject(id, "too much");
  const sent = socket1.sent.at(-1);
  assert.deepEqual(
    { ...sent, id: "" },
    { type: "human_feedback", approval_id: id, verdict: "reject", content: "too much", id: "" },
  );
  socket1.say(frames.decided("reject", { comment: "too much", by: "u1" }));
  socket1.status("decision_received", sent?.id ?? "");
  await decided;
  assert.deepEqual(client.approvals, []);
  assert.deepEqual(client.calls[0]?.decision, { verdict: "reject", comment: "too much", by: "u1" });
  assert.deepEqual(states(stage), ["refund rejected"]);
  client.close();
});

Deno.test("[CT24] a decision says why it does not count: decided already, unknown, or input that does not fit", async () => {
  const { client, socket1, frames } = await waiting();
  const id = frames.callId(0);
  const changed = client.modify(id, { amount: "x" });
  assert.deepEqual(socket1.sent.at(-1)?.input, { amount: "x" });
  socket1.error("invalid_args", { in_reply_to: socket1.sent.at(-1)?.id });
  await assert.rejects(changed, { code: "invalid_args" });
  assert.equal(client.approvals.length, 1, "it still waits");
  const late = client.approve(id);
  socket1.error("already_decided", { in_reply_to: socket1.sent.at(-1)?.id });
  await assert.rejects(late, { code: "already_decided" });
  const unknown = client.approve(id, { comment: "fine" });
  assert.equal(socket1.sent.at(-1)?.content, "fine");
  socket1.error("unknown_approval", { in_reply_to: socket1.sent.at(-1)?.id });
  await assert.rejects(unknown, { code: "unknown_approval" });
  assert.deepEqual(client.approvals, [], "the server does not wait for it");
  client.close();
});

Deno.test("[CT24] a decision is sent again after a lost connection, with the same id", async () => {
  const { client, socket1, frames, socket } = await waiting();
  const decided = client.modify(frames.callId(0), { amount: 10 });
  const first = socket1.sent.at(-1);
  socket1.end(1006);
  const socket2 = await socket();
  assert.equal(socket2.url.searchParams.get("tools"), "true");
  socket2.welcome({ resumed: { recovered: true, from_seq: 4, to_seq: 3 } });
  assert.deepEqual(socket2.sent.find(({ type }) => type === "human_feedback"), first);
  socket2.say(frames.decided("modify", { input: { amount: 10 } }));
  socket2.status("decision_received", first?.id ?? "");
  await decided;
  assert.deepEqual(client.calls[0]?.input, { amount: 10 }, "the input that counts");
  client.close();
});

Deno.test("[CT24] a decision that is too large is not sent", async () => {
  const { client, socket1, frames } = await waiting();
  const before = socket1.sent.length;
  await assert.rejects(client.modify(frames.callId(0), { text: "ü".repeat(40_000) }), {
    code: "message_too_large",
  });
  assert.equal(socket1.sent.length, before);
  client.close();
});

Deno.test("[CT25] what waits is known after a reload, and goes with the session", async () => {
  const storage = new MemoryStorage();
  const first = await waiting({ storage });
  const { frames } = first;
  // The page is reloaded: nothing of it is called any more.
  const second = scriptedToolClient({ storage });
  assert.equal(second.client.approvals.length, 1);
  const socket = await second.welcomed({ resumed: { recovered: true, from_seq: 4, to_seq: 4 } });
  assert.equal(socket.url.searchParams.get("last_seq"), "3");
  assert.equal(second.client.approvals.length, 1);
  socket.say(frames.decided("approve"));
  assert.deepEqual(states(second), ["refund approved"]);
  assert.equal(second.client.messages.at(-1)?.parts.length, 2, "its text and its call");
  second.client.close();
  // Once more, and the session is gone.
  const third = scriptedToolClient({ storage });
  assert.deepEqual(states(third), ["refund approved"]);
  await third.welcomed({
    session_id: "s2",
    resumed: { recovered: false, from_seq: 1, to_seq: 0, reason: "unknown_session" },
  });
  assert.deepEqual(states(third), []);
  third.client.close();
  assert.deepEqual(scriptedToolClient({ storage }).client.calls, []);
  first.client.close();
  const fourth = await waiting({ storage });
  fourth.client.close({ forget: true });
  assert.deepEqual(fourth.client.calls, []);
  assert.deepEqual(scriptedToolClient({ storage }).client.calls, []);
});

Deno.test("[CT25] a replay of what is known already changes nothing", async () => {
  const storage = new MemoryStorage();
  const first = await waiting({ storage });
  const { frames } = first;
  first.socket1.say(frames.decided("approve"));
  const again = scriptedToolClient({ storage, replay: "all" });
  const socket = await again.welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 4 } });
  const replayed = new ToolFrames(frames.queryId);
  socket.say(replayed.thinking());
  socket.say(replayed.call("refund", { needs: "approval", input: { amount: 25 }, text: "Let me see." }));
  socket.say(replayed.requested("refund", { amount: 25 }));
  assert.deepEqual(states(again), ["refund approved"]);
  first.client.close();
  again.client.close();
});

Deno.test("[CT26] the page runs its tools once, and sends what they return or throw", async () => {
  const runs: unknown[] = [];
  const scripted = scriptedToolClient({
    tools: {
      pick_date: ({ month }: { month: string }) => {
        runs.push(month);
        return Promise.resolve({ date: "2026-12-01" });
      },
      fail: () => {
        throw new Error("no camera");
      },
      odd: () => 1n,
    },
  });
  const { client } = scripted;
  const socket1 = await scripted.welcomed();
  const frames = new ToolFrames(client.query("When?").id);
  socket1.say(frames.thinking());
  socket1.say(frames.call("pick_date", { needs: "client", input: { month: "May" } }));
  socket1.say(frames.call("fail", { needs: "client", place: 1 }));
  socket1.say(frames.call("odd", { needs: "client", place: 2 }));
  socket1.say(frames.call("elsewhere", { needs: "client", place: 3 }));
  socket1.say(frames.call("toString", { needs: "client", place: 4 }));
  await settle();
  const results = socket1.sent.filter(({ type }) => type === "tool_result");
  const byCall = new Map(results.map(({ call_id, output, error }) => [call_id, output ?? error]));
  assert.deepEqual(byCall.get(frames.callId(0)), { date: "2026-12-01" });
  assert.equal(byCall.get(frames.callId(1)), "no camera");
  assert.match(String(byCall.get(frames.callId(2))), /BigInt/);
  assert.equal(results.length, 3, "a tool that the page has not waits");
  // The connection is lost before the answer.
  socket1.end(1006);
  const socket2 = await scripted.socket();
  socket2.welcome({ resumed: { recovered: true, from_seq: 7, to_seq: 6 } });
  await settle();
  assert.deepEqual(runs, ["May"], "not once more");
  const sentAgain = socket2.sent.filter(({ type }) => type === "tool_result");
  assert.deepEqual(sentAgain, results);
  const answered = client.answer(frames.callId(3), { output: "by hand" });
  socket2.status("result_received", socket2.sent.at(-1)?.id ?? "");
  await answered;
  client.close();
});

Deno.test("[CT26] a tool of the page is aborted when another page was faster, and its result is not sent", async () => {
  let signal: AbortSignal | undefined;
  const picked = Promise.withResolvers<string>();
  const scripted = scriptedToolClient({
    tools: {
      pick: (_input, options) => {
        signal = options.signal;
        return picked.promise;
      },
    },
  });
  const socket = await scripted.welcomed();
  const frames = new ToolFrames(scripted.client.query("When?").id);
  socket.say(frames.thinking());
  socket.say(frames.call("pick", { needs: "client" }));
  assert.equal(signal?.aborted, false);
  socket.say(frames.result("pick", "elsewhere"));
  assert.equal(signal?.aborted, true);
  picked.resolve("here");
  await settle();
  assert.deepEqual(socket.sent.filter(({ type }) => type === "tool_result"), []);
  scripted.client.close();
});

Deno.test("[CT26] a call whose result comes later in the replay is not run", async () => {
  const runs: string[] = [];
  const scripted = scriptedToolClient({ tools: { pick: (_, { callId }) => runs.push(callId) } });
  const socket = await scripted.welcomed({ resumed: { recovered: true, from_seq: 1, to_seq: 4 } });
  const frames = new ToolFrames("other");
  socket.say(frames.thinking());
  socket.say(frames.call("pick", { needs: "client" }));
  socket.say(frames.call("pick", { needs: "client", place: 1 }));
  assert.deepEqual(runs, []);
  socket.say(frames.result("pick", "1"));
  assert.deepEqual(runs, [frames.callId(1)]);
  scripted.client.close();
});

Deno.test("[CT24] the end of a turn ends what waits in it", async () => {
  const stage = await waiting();
  const { client, socket1, frames } = stage;
  const changes: string[] = [];
  client.on("call", ({ state }) => changes.push(state));
  socket1.say(frames.cancelled());
  assert.deepEqual(client.approvals, []);
  assert.deepEqual(changes, ["ended"]);
  client.close();
});

Deno.test("each chat of a client for tools knows tools", async () => {
  const { client, socket } = scriptedToolClient();
  const chat: ToolClient = client.chat("a");
  void chat.connect();
  const { url } = await socket();
  assert.deepEqual([url.searchParams.get("chat_id"), url.searchParams.get("tools")], ["a", "true"]);
  assert.deepEqual(chat.approvals, []);
  client.close();
});

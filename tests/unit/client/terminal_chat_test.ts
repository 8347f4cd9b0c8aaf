import assert from "node:assert/strict";
import { TerminalChat } from "../../../client/chat/terminal_chat.ts";
import type { ToolClient } from "../../../client/tool_client.ts";
import { settle } from "../../support/manual_clock.ts";
import { ToolFrames } from "../../support/tool_frames.ts";
import { type ScriptedSocket, scriptedToolClient, type TestClient } from "../../support/scripted_sockets.ts";

interface Terminal extends TestClient<ToolClient> {
  chat: TerminalChat;
  server: ScriptedSocket;
  screen: () => string;
  codes: number[];
}

async function terminal(): Promise<Terminal> {
  const test = scriptedToolClient();
  let seen = "";
  const codes: number[] = [];
  const chat = new TerminalChat({
    client: test.client,
    write: (text) => void (seen += text),
    onQuit: (code) => codes.push(code),
  });
  const server = await test.welcomed();
  const screen = (): string => {
    const text = seen;
    seen = "";
    return text;
  };
  return { ...test, chat, server, screen, codes };
}

Deno.test("TerminalChat shows an answer as it comes, and the next one after it", async () => {
  const { chat, server, screen } = await terminal();
  const [first, second] = [chat.line("one"), chat.line(" two ")];
  server.delta("q1", 0, "An ");
  server.delta("q2", 0, "too early");
  await settle();
  assert.equal(screen(), "An ");
  server.response("q1", 1, "An answer");
  server.response("q2", 2, "another", { finish_reason: "length" });
  await Promise.all([first, second]);
  assert.equal(screen(), "answer\nanother\n[ended by length]\n");
  assert.deepEqual(server.sent.map(({ content }) => content), ["one", "two"]);
});

Deno.test("TerminalChat shows an answer that begins again on a line of its own", async () => {
  const { chat, server, screen } = await terminal();
  const asked = chat.line("one");
  server.delta("q1", 0, "There was");
  await settle();
  server.delta("q1", 0, "Once ");
  await settle();
  server.response("q1", 1, "Once upon a time");
  await asked;
  assert.equal(screen(), "There was\nOnce upon a time\n");
});

Deno.test("TerminalChat stays when the session was not used for a while", async () => {
  const { chat, server, socket, screen, codes } = await terminal();
  server.notice("session_timeout");
  server.end(1000, "Session timeout");
  assert.equal(screen(), "[closed: 1000 Session timeout]\n");
  const asked = chat.line("one");
  const again = await socket();
  again.welcome({ resumed: { recovered: true, from_seq: 1, to_seq: 0 } });
  again.response("q1", 1, "An answer");
  await asked;
  assert.match(screen(), /An answer\n$/);
  assert.deepEqual(codes, []);
});

Deno.test("TerminalChat shows reasoning dimmed, on lines of its own", async () => {
  const { chat, server, screen } = await terminal();
  const asked = chat.line("one");
  server.reasoning("q1", 0, "Let me ");
  await settle();
  assert.equal(screen(), "\x1b[2mLet me ");
  server.reasoning("q1", 7, "see.");
  await settle();
  server.delta("q1", 0, "An ");
  await settle();
  assert.equal(screen(), "see.\x1b[22m\nAn ");
  server.reasoning("q1", 11, " Hm.");
  await settle();
  server.reasoning("q1", 0, "Anew.");
  await settle();
  assert.equal(screen(), "\n\x1b[2m Hm.\nAnew.");
  server.response("q1", 1, "An answer");
  await asked;
  assert.equal(screen(), "\x1b[22m\nanswer\n");
});

Deno.test("TerminalChat ends the dimmed lines when the turn fails while the model thinks", async () => {
  const { chat, server, screen } = await terminal();
  const asked = chat.line("one");
  server.reasoning("q1", 0, "Let me see.");
  await settle();
  server.error("model_timeout", { in_reply_to: "q1", seq: 1, content: "too slow" });
  await asked;
  assert.equal(screen(), "\x1b[2mLet me see.\x1b[22m\n[model_timeout: too slow]\n");
});

Deno.test("TerminalChat tells why an answer failed, and goes on", async () => {
  const { chat, server, screen } = await terminal();
  const asked = chat.line("one");
  server.error("model_timeout", {
    in_reply_to: "q1",
    seq: 1,
    content: "Failed to generate response: too slow",
  });
  await asked;
  assert.equal(screen(), "[model_timeout: Failed to generate response: too slow]\n");
  const again = chat.line("two");
  server.response("q2", 2, "fine");
  await again;
  assert.equal(screen(), "fine\n");
});

Deno.test("TerminalChat: Ctrl-C cancels the answer, a second one quits", async () => {
  const { chat, server, screen, codes } = await terminal();
  const asked = chat.line("a story");
  server.delta("q1", 0, "Once");
  await settle();
  chat.interrupt();
  assert.deepEqual(server.commands, ["cancel"]);
  server.status("cancelled", "q1", { seq: 2, partial: "Once", reason: "cancelled" });
  await asked;
  assert.equal(screen(), "Once\n[cancelled]\n");
  chat.interrupt();
  assert.deepEqual(codes, [130]);
});

Deno.test("TerminalChat: Ctrl-C with nothing to cancel asks for another, unless something was typed since", async () => {
  const { chat, screen, codes } = await terminal();
  chat.interrupt();
  await chat.line("/help");
  screen();
  chat.interrupt();
  assert.equal(screen(), "[Ctrl-C again to quit]\n");
  assert.deepEqual(codes, []);
  chat.interrupt();
  assert.deepEqual(codes, [130]);
});

Deno.test("TerminalChat does what its commands say", async () => {
  const { chat, server, screen } = await terminal();
  const answer = async (line: string, code: string, fields: object = {}): Promise<unknown> => {
    const done = chat.line(line);
    await settle(1);
    const { id, content, args } = server.sent.at(-1) ?? assert.fail();
    server.status(code, id, { ...fields });
    await done;
    return [content, args];
  };
  assert.deepEqual(await answer("/clear", "cleared"), ["clear", undefined]);
  assert.equal(screen(), "[cleared]\n");
  const messages = [{ role: "user", content: "Hi" }, { role: "assistant", content: "Hello" }];
  assert.deepEqual(await answer("/history 2", "history", { data: { messages } }), ["history", { limit: 2 }]);
  assert.equal(screen(), "> Hi\nHello\n");
  const model = { data: { model: "a/b" } };
  assert.deepEqual(await answer("/model a/b", "configured", model), ["configure", { model: "a/b" }]);
  assert.equal(screen(), "[model: a/b]\n");
  await answer("/status", "session_status", { data: { state: "idle" } });
  assert.match(screen(), /"state": "idle"/);
  await answer("/sessions", "sessions", { data: { sessions: [] } });
  assert.match(screen(), /"sessions": \[\]/);
  await chat.line("/help");
  assert.match(screen(), /\/cancel/);
  await chat.line("/cancel");
  assert.equal(screen(), "[nothing to cancel]\n");
  await chat.line("/dance now");
  assert.equal(screen(), "[there is no /dance; /help says what there is]\n");
  await chat.line("   ");
  assert.equal(screen(), "");
});

Deno.test("TerminalChat: /new begins a fresh session", async () => {
  const { chat, screen, socket: next, codes } = await terminal();
  const done = chat.line("/new");
  const socket = await next();
  assert.equal(socket.url.searchParams.get("session_id"), null);
  socket.welcome({ session_id: "s2" });
  await done;
  assert.match(screen(), /\[a fresh session\]/);
  assert.deepEqual(codes, []);
});

Deno.test("TerminalChat tells of the network once, of notifications, and of the end", async () => {
  const { chat, server, screen, socket: next, codes } = await terminal();
  server.say({ type: "notification", content: "Report ready", timestamp: "", id: "n1", seq: 1 });
  assert.equal(screen(), "[Report ready]\n");
  server.end(1006);
  (await next()).end(1006);
  const again = await next();
  again.welcome({ resumed: { recovered: false, reason: "unknown_session", from_seq: 1, to_seq: 0 } });
  assert.equal(screen(), "[connection lost (1006), trying again]\n[connected again; unknown_session]\n");
  again.end(4003, "Forbidden");
  assert.equal(screen(), "[closed: 4003 Forbidden]\n");
  assert.deepEqual(codes, [1]);
  await chat.line("too late");
  await chat.end();
  assert.deepEqual(codes, [1]);
});

Deno.test("TerminalChat: at the end of what is typed it waits for the answers", async () => {
  const { chat, server, screen, codes } = await terminal();
  void chat.line("one");
  const ended = chat.end();
  await settle();
  assert.deepEqual(codes, []);
  server.response("q1", 1, "answer");
  await ended;
  assert.equal(screen(), "answer\n");
  assert.deepEqual(codes, [0]);
});

Deno.test("TerminalChat shows tool calls, and asks for approval: yes, no, or another input", async () => {
  const { chat, server, screen } = await terminal();
  const asked = chat.line("Refund it");
  const frames = new ToolFrames("q1");
  server.say(frames.thinking());
  await settle();
  server.say(frames.delta(0, "Let me look."));
  server.say(frames.call("find", { text: "Let me look.", input: { status: "open" } }));
  await settle();
  assert.equal(screen(), 'Let me look.\n[find {"status":"open"}]\n');
  server.say(frames.started("find"));
  server.say(frames.result("find", "two\u001b[2J\norders"));
  server.say(frames.call("refund", { step: 2, needs: "approval", input: { amount: 25 } }));
  server.say(frames.call("close", { step: 2, place: 1, needs: "approval" }));
  server.say(frames.requested("refund", { amount: 25 }, 0, 2));
  server.say(frames.requested("close", {}, 1, 2));
  await settle();
  assert.match(screen(), /^\[find done two \[2J orders\]\n.*\[refund {"amount":25}: allow it\? y, n /s);
  await chat.line("e {");
  assert.match(screen(), /^\[after e comes the input as JSON/);
  const changed = chat.line('e {"amount": 10}');
  const sent = server.sent.at(-1);
  assert.deepEqual([sent?.verdict, sent?.input], ["modify", { amount: 10 }]);
  server.error("invalid_args", { in_reply_to: sent?.id });
  await changed;
  assert.equal(screen(), "[invalid_args: invalid_args]\n");
  for (
    const [line, verdict, content, place] of [["y", "approve", undefined, 0], [
      "N too early",
      "reject",
      "too early",
      1,
    ]] as const
  ) {
    const decided = chat.line(line);
    const decision = server.sent.at(-1);
    assert.deepEqual([decision?.verdict, decision?.content, decision?.approval_id], [
      verdict,
      content,
      frames.callId(place, 2),
    ]);
    server.say(frames.decided(verdict, content === undefined ? {} : { comment: content }, place, 2));
    server.status("decision_received", decision?.id ?? "");
    await decided;
  }
  server.say(frames.result("refund", "refunded", "ok", 0, 2));
  await settle();
  assert.equal(screen(), "[close rejected too early]\n[refund done refunded]\n");
  server.say(frames.response("Let me look.\n\nDone."));
  await asked;
  assert.equal(screen(), "\n\nDone.\n");
  const question = chat.line("y");
  assert.equal(server.sent.at(-1)?.type, "query", "nothing waits: it is a question");
  server.response("q5", frames.seq, "?");
  void question;
});

/** Resuming at any worker, aborts, and the end of a worker, for the AI SDK's transport. */

import assert from "node:assert/strict";
import { startAgent, until } from "../../support/agent_harness.ts";
import { openPage, PAGE_TOKEN } from "../../support/ai_sdk_page.ts";
import { settle } from "../../support/manual_clock.ts";
import { LEASE_MS, startWorkers } from "../../support/workers.ts";

Deno.test("[AS9] a resume gets the running answer from its beginning, then what follows", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const first = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.think("Hm.");
  agent.model.last.say("Once ");
  await until(() => page.text(first) === "Once ");
  page.vanish();
  agent.model.last.say("upon ");
  const again = await openPage(agent);
  const resumed = again.resume();
  await until(() => again.text(resumed) === "Once upon ");
  // Another one on the same socket, while it is written.
  const beside = again.resume();
  agent.model.last.finish("a time");
  await until(() => again.types(resumed).includes("end") && again.types(beside).includes("end"));
  for (const request of [resumed, beside]) {
    assert.equal(again.types(request)[0], "start");
    assert.deepEqual(again.parts(request), ["reasoning: Hm.", "text: Once upon a time"]);
    assert.equal(again.chunks(request)[0]?.messageId, page.chunks(first)[0]?.messageId);
  }
  assert.equal(agent.model.calls.length, 1);
});

Deno.test("[AS9] a resume before the first text is answered at once, and of two questions it gets the newer", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  page.ask("one", { id: "q1" });
  page.ask("two", { id: "q2" });
  await until(() => agent.model.calls.length === 1);
  page.vanish();
  const again = await openPage(agent);
  const resumed = again.resume();
  await until(() => again.types(resumed).length > 0);
  assert.deepEqual(again.types(resumed), ["start"]);
  agent.model.last.finish("first");
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("second");
  await until(() => again.types(resumed).includes("end"));
  assert.equal(again.text(resumed), "second");
});

Deno.test("[AS9] where nothing is written there is nothing to resume, and no conversation is made for it", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const unknown = page.resume("never seen");
  await until(() => page.of(unknown).length > 0);
  assert.deepEqual(page.types(unknown), ["no-active"]);
  assert.equal(agent.server.count().sessions, 0);
  // A question that comes meanwhile is asked all the same.
  const resumed = page.resume("new");
  const asked = page.ask("Hi", { chat: "new" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.finish("Hello");
  await until(() => page.types(asked).includes("end"));
  assert.deepEqual([page.types(resumed), page.text(asked)], [["no-active"], "Hello"]);
  assert.equal(page.closed, undefined);
});

Deno.test("[AS9] an answer that has just ended is sent to a page that did not get its end, and to no other", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const first = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(first) === "Once ");
  page.vanish();
  agent.model.last.finish("upon a time");
  await settle();
  const again = await openPage(agent);
  const resumed = again.resume();
  await until(() => again.types(resumed).includes("end"));
  assert.deepEqual([again.types(resumed)[0], again.text(resumed)], ["start", "Once upon a time"]);
  const twice = again.resume();
  await settle();
  assert.deepEqual(again.types(twice), ["no-active"], "this page has it");
  // Of two resumes the newer counts: the older one's answer was not read.
  const strict = await openPage(agent);
  const older = strict.resume();
  await until(() => strict.types(older).includes("end"));
  strict.abort(older);
  const newer = strict.resume();
  await until(() => strict.types(newer).includes("end"));
  assert.equal(strict.text(newer), "Once upon a time");
  agent.clock.advance(600_001);
  const late = await openPage(agent);
  const tooLate = late.resume();
  await until(() => late.of(tooLate).length > 0);
  assert.deepEqual(late.types(tooLate), ["no-active"]);
});

Deno.test("[AS9] a page that asked for a failed answer is told so when it comes back; a stopped one it has", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  page.ask("one", { id: "q1", chat: "failed" });
  page.ask("two", { id: "q2", chat: "stopped" });
  await until(() => agent.model.calls.length === 2);
  // Which conversation is opened first is not known.
  const callFor = (question: string) =>
    agent.model.calls.find(({ request }) => request.messages.at(-1)?.content === question);
  page.vanish();
  const { AgentError } = await import("../../../supabase/functions/_shared/errors.ts");
  callFor("one")?.fail(new AgentError("model_timeout", "No token came"));
  const stopper = await openPage(agent);
  const stopped = stopper.resume("stopped");
  await until(() => stopper.types(stopped).includes("start"));
  stopper.abort(stopped);
  agent.clock.advance(250);
  await until(() => callFor("two")?.aborted === true);
  await settle();
  const again = await openPage(agent);
  const [one, two] = [again.resume("failed"), again.resume("stopped")];
  await until(() => again.of(one).length > 1 && again.of(two).length > 0);
  assert.match(again.errorOf(one) ?? "", /^model_timeout: /);
  assert.deepEqual(again.types(two), ["no-active"]);
});

Deno.test("[AS10] the abort of a question is a stop", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const request = page.ask("A story");
  page.abort(request);
  await until(() => agent.logged.some(({ event }) => event === "connection_ready"));
  await settle();
  assert.ok(agent.model.calls.every(({ aborted }) => aborted));
  const next = page.ask("Another");
  await until(() => agent.model.calls.some(({ open }) => open));
  agent.model.last.say("Once ");
  await until(() => page.text(next) === "Once ");
  page.abort(next);
  await until(() => agent.model.last.aborted);
  const { length } = page.frames;
  await settle();
  assert.equal(page.frames.length, length, "nothing for a request that was aborted");
  page.abort(next);
  page.abort("unknown");
  assert.equal(page.closed, undefined);
});

Deno.test("[AS10] the abort of a resume is a stop if no other request listens a moment later", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  page.vanish();
  // As React's StrictMode does, before the conversation is open.
  const strict = await openPage(agent);
  const older = strict.resume();
  strict.abort(older);
  const newer = strict.resume();
  await until(() => strict.types(newer).includes("start"));
  agent.clock.advance(250);
  agent.model.last.say("Once ");
  await until(() => strict.text(newer) === "Once ");
  assert.deepEqual(strict.frames.filter(({ requestId }) => requestId === older), []);
  // And once it is open.
  const newest = strict.resume();
  strict.abort(newer);
  agent.clock.advance(250);
  await settle();
  assert.ok(agent.model.last.open);
  // A listener on another socket counts too.
  const other = await openPage(agent);
  const listening = other.resume();
  await until(() => other.text(listening) === "Once ");
  strict.abort(newest);
  agent.clock.advance(250);
  await settle();
  assert.ok(agent.model.last.open);
  other.abort(listening);
  agent.clock.advance(249);
  await settle();
  assert.ok(agent.model.last.open);
  agent.clock.advance(1);
  await until(() => agent.model.last.aborted);
});

Deno.test("[AS10] a stop right before the page is left is a stop, and leaving it is none", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  const request = page.ask("A story");
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say("Once ");
  await until(() => page.text(request) === "Once ");
  page.vanish();
  await settle();
  assert.ok(agent.model.last.open);
  const again = await openPage(agent);
  const resumed = again.resume();
  await until(() => again.text(resumed) === "Once ");
  // A newer request that listens when the socket is lost: the page was not left by its user.
  const older = again.resume();
  again.abort(older);
  again.vanish();
  agent.clock.advance(1000);
  await settle();
  assert.ok(agent.model.last.open);
  const last = await openPage(agent);
  const stopped = last.resume();
  await until(() => last.text(stopped) === "Once ");
  last.abort(stopped);
  last.vanish();
  await until(() => agent.model.last.aborted);
});

Deno.test("[AS9] an answer whose question is older than what is replayed is resumed, and is older than newer ones", async () => {
  const agent = startAgent();
  const page = await openPage(agent);
  page.ask("one", { id: "q1" });
  await until(() => agent.model.calls.length === 1);
  const sessionId = agent.logged.find(({ event }) => event === "connection_ready")?.session_id;
  const notify = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) {
      await agent.server.notices.toSession(String(sessionId), {
        kind: "notification",
        type: "notification",
        notificationId: `n${n}`,
        content: "x",
      });
    }
    await settle();
  };
  await notify(0, 30);
  const second = await openPage(agent);
  const first = second.resume();
  await until(() => second.types(first).includes("start"));
  second.vanish();
  page.ask("two", { id: "q2" });
  await settle();
  page.vanish();
  const third = await openPage(agent);
  const newest = third.resume();
  await until(() => third.types(newest).includes("start"));
  agent.model.last.finish("first");
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("second");
  await until(() => third.types(newest).includes("end"));
  assert.equal(third.text(newest), "second");
  assert.ok(!third.types(newest).includes("data-notification"), "what was there before the page is no news");
});

Deno.test("[AS9] [AS13] a killed worker's answer goes on at another one, where the page resumes it", async () => {
  const workers = startWorkers();
  const [a, b] = [workers.start("a"), workers.start("b")];
  const page = await openPage(a);
  const first = page.ask("Count");
  await until(() => a.model.calls.length === 1);
  a.model.last.say("one, two");
  await until(() => page.text(first) === "one, two");
  await workers.pass(600);
  a.kill();
  page.vanish();
  const again = await openPage(b);
  const resumed = again.resume();
  await until(() => again.types(resumed).includes("start"));
  await workers.pass(LEASE_MS + 100);
  await until(() => b.model.calls.length === 1 && again.text(resumed) === "one, two");
  b.model.last.say(", three");
  await until(() => again.text(resumed) === "one, two, three");
  // The model begins the answer again.
  b.model.last.restart();
  b.model.last.finish("1 2 3");
  await until(() => again.types(resumed).includes("end"));
  assert.equal(again.text(resumed), "1 2 3");
  assert.ok(again.types(resumed).includes("reset-step"));
  assert.equal(again.chunks(resumed)[0]?.messageId, page.chunks(first)[0]?.messageId);
  // The same page goes on there.
  const next = again.ask("And then?");
  await until(() => b.model.calls.length === 2);
  assert.deepEqual(b.model.last.request.messages.slice(1).map(({ content }) => content), [
    "Count",
    "1 2 3",
    "And then?",
  ]);
  b.model.last.finish("four");
  await until(() => again.types(next).includes("end"));
});

Deno.test("[AS13] a worker that is being replaced sends idle pages away at once, others with their answers", async () => {
  const workers = startWorkers();
  const a = workers.start("a");
  const idle = await openPage(a);
  const silent = await openPage(a);
  const done = idle.ask("Hi", { chat: "idle" });
  await until(() => a.model.calls.length === 1);
  a.model.last.finish("Hello");
  await until(() => idle.types(done).includes("end"));
  const busy = await openPage(a);
  const short = busy.ask("short", { chat: "short" });
  await until(() => a.model.calls.length === 2);
  const long = busy.ask("long", { chat: "long" });
  await until(() => a.model.calls.length === 3);
  a.model.last.say("Once ");
  await until(() => busy.text(long) === "Once ");
  const drained = a.server.drain("wall_clock");
  await settle();
  const replaced = { code: 1012, reason: "Worker is being replaced" };
  assert.deepEqual([idle.closed, silent.closed, busy.closed], [replaced, replaced, undefined]);
  const late = busy.ask("too late", { chat: "late" });
  assert.match(busy.errorOf(late) ?? "", /^shutting_down: /);
  a.model.calls[1]?.finish("Done");
  await until(() => busy.types(short).includes("end"));
  await settle();
  assert.equal(busy.closed, undefined, "the other answer is still being sent");
  await workers.pass(10_000);
  await until(() => busy.closed !== undefined);
  assert.deepEqual(busy.closed, replaced);
  assert.ok(!busy.types(long).includes("end"));
  for (const page of [idle, silent, busy]) page.vanish();
  await workers.pass(3000);
  await drained;
  const b = workers.start("b");
  const again = await openPage(b);
  const resumed = again.resume("long");
  await until(() => b.model.calls.length === 1 && again.text(resumed) === "Once ");
  b.model.last.finish("upon a time");
  await until(() => again.types(resumed).includes("end"));
});

Deno.test("[AS9] a page at another worker than the one that writes gets the text that exists", async () => {
  const workers = startWorkers();
  const [a, b] = [workers.start("a"), workers.start("b")];
  const page = await openPage(a);
  const asked = page.ask("A story");
  await until(() => a.model.calls.length === 1);
  a.model.last.say("Once ");
  await until(() => page.text(asked) === "Once ");
  const other = await openPage(b, `resume_token=${PAGE_TOKEN}`);
  const resumed = other.resume();
  await until(() => other.types(resumed).includes("start"));
  await workers.pass(600);
  a.model.last.say("upon ");
  await workers.pass(600);
  a.model.last.finish("a time");
  await workers.pass(100);
  await until(() => other.types(resumed).includes("end"));
  assert.equal(other.text(resumed), "Once upon a time");
  assert.equal(b.model.calls.length, 0);
});

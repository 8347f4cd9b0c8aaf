/** Tool calls over the AI SDK's own transport: what the page is sent, and what it sends back. */

import assert from "node:assert/strict";
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";
import type { ModelToolCall } from "../../supabase/functions/_shared/ports/model.ts";
import { startAgent, type TestAgent, until } from "../support/agent_harness.ts";
import { type AiSdkPage, openPage } from "../support/ai_sdk_page.ts";
import { ScriptedAgent } from "../support/scripted_agent.ts";

const TOOLS = {
  find: {},
  refund: { needs: "approval" },
  close: { needs: "approval" },
  pick: { needs: "client" },
} as const;

interface Stage {
  agent: TestAgent;
  tools: ScriptedAgent;
  page: AiSdkPage;
}

async function start(): Promise<Stage> {
  const tools = new ScriptedAgent(TOOLS);
  const agent = startAgent({ agent: tools });
  return { agent, tools, page: await openPage(agent) };
}

function call(name: string, input: unknown = {}): ModelToolCall {
  return { id: `call-${name}`, name, arguments: JSON.stringify(input) };
}

/** Asks, and lets the model call tools. Returns the request id. */
async function askFor({ agent, page }: Stage, calls: readonly ModelToolCall[], text = ""): Promise<string> {
  const request = page.ask("please", { id: "m1" });
  await until(() => agent.model.calls.length === 1);
  agent.model.last.say(text);
  agent.model.last.end({ finishReason: "tool_calls", calls });
  return request;
}

/** Waits until the request has ended, as it does when the answer waits. */
async function ended({ agent, page }: Stage, request: string): Promise<void> {
  await until(() => {
    agent.clock.advance(50);
    return page.types(request).includes("end");
  });
}

/** The message as the SDK builds it from the chunks of a request, on top of what the page has. */
async function messageOf(page: AiSdkPage, request: string, known?: UIMessage): Promise<UIMessage> {
  const stream = ReadableStream.from(page.chunks(request) as UIMessageChunk[]);
  let last: UIMessage | undefined;
  const options = known === undefined ? { stream } : { stream, message: structuredClone(known) };
  for await (const message of readUIMessageStream(options)) last = message;
  return last ?? assert.fail("no message");
}

function outline({ parts }: UIMessage): string[] {
  return parts.map((part) =>
    part.type === "dynamic-tool"
      ? `${part.toolName} ${part.state}`
      : part.type === "text"
      ? part.text
      : part.type
  );
}

/** The page sends its message back, with these changes of the parts of tools. */
function send(
  page: AiSdkPage,
  message: UIMessage,
  changes: Record<string, object>,
  body: object = {},
): string {
  const parts = message.parts.map((part) =>
    part.type === "dynamic-tool" ? { ...part, ...changes[part.toolName] } : part
  );
  return page.request({
    type: "send",
    id: "c1",
    trigger: "submit-message",
    messageId: message.id,
    messages: [{ ...message, parts }],
    headers: {},
    body,
  });
}

function responded(message: UIMessage, name: string, approved: boolean, reason?: string): object {
  const part = message.parts.find((part) => part.type === "dynamic-tool" && part.toolName === name);
  assert.ok(part?.type === "dynamic-tool");
  return { state: "approval-responded", approval: { id: part.toolCallId, approved, reason } };
}

Deno.test("[AS14] each step is its text, then its calls as they go on, and the next step begins one", async () => {
  const stage = await start();
  const { agent, tools, page } = stage;
  const request = await askFor(stage, [call("find", { status: "open" })], "Let me look.");
  await until(() => tools.runs.length === 1);
  tools.last.end({ outcome: "ok", output: '{"orders":2}' });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.say("Two. ");
  agent.model.last.end({ calls: [call("find")] });
  await until(() => tools.runs.length === 2);
  tools.last.end({ outcome: "error", output: "no" });
  await until(() => agent.model.calls.length === 3);
  agent.model.last.finish("Done.");
  await until(() => page.types(request).includes("end"));
  const id = page.chunks(request).find(({ type }) => type === "tool-input-available")?.toolCallId;
  assert.deepEqual(page.chunks(request).filter(({ type }) => !/text|finish$/.test(type)).slice(1, 3), [
    {
      type: "tool-input-available",
      toolCallId: id,
      toolName: "find",
      input: { status: "open" },
      dynamic: true,
    },
    { type: "tool-output-available", toolCallId: id, output: { orders: 2 }, dynamic: true },
  ]);
  const message = await messageOf(page, request);
  assert.deepEqual(outline(message), [
    "Let me look.",
    "find output-available",
    "step-start",
    "Two. ",
    "find output-error",
    "step-start",
    "Done.",
  ]);
  // A page that comes later is sent the same.
  const later = await openPage(agent);
  const resumed = later.resume();
  await until(() => later.types(resumed).includes("end"));
  assert.deepEqual(await messageOf(later, resumed), message);
});

Deno.test("[AS15] [AS16] a page approves and rejects in its parts, and is sent the rest of the same answer", async () => {
  const stage = await start();
  const { agent, tools, page } = stage;
  const request = await askFor(stage, [call("refund", { amount: 25 }), call("close")], "Let me see.");
  await ended(stage, request);
  assert.equal(page.chunks(request).at(-1)?.finishReason, "tool-calls");
  const asked = await messageOf(page, request);
  assert.deepEqual(outline(asked), ["Let me see.", "refund approval-requested", "close approval-requested"]);
  const rest = send(page, asked, {
    refund: responded(asked, "refund", true),
    close: responded(asked, "close", false, "not yet"),
  });
  await until(() => tools.runs.length === 1);
  tools.last.end({ outcome: "ok", output: "refunded" });
  await until(() => agent.model.calls.length === 2);
  assert.deepEqual(agent.model.last.request.messages.slice(-2).map(({ content }) => content), [
    "refunded",
    'The call did not run: the user does not allow it. The user says: "not yet"',
  ]);
  agent.model.last.finish("Refunded.");
  await until(() => page.types(rest).includes("end"));
  const answer = await messageOf(page, rest, asked);
  assert.deepEqual(outline(answer), [
    "Let me see.",
    "refund output-available",
    "close output-denied",
    "step-start",
    "Refunded.",
  ]);
  assert.equal(answer.id, asked.id);
  assert.equal(agent.model.calls.length, 2, "no other question was asked");
  // The whole answer, for a page that comes later.
  const later = await openPage(agent);
  const resumed = later.resume();
  await until(() => later.types(resumed).includes("end"));
  assert.deepEqual(outline(await messageOf(later, resumed)), outline(answer));
});

Deno.test("[AS16] `inputs` in the body has edited inputs; what the tool does not take fails the request, and the call waits", async () => {
  const stage = await start();
  const { tools, page } = stage;
  const request = await askFor(stage, [call("refund", { amount: 25 })]);
  await ended(stage, request);
  const asked = await messageOf(page, request);
  const change = { refund: responded(asked, "refund", true) };
  const id = String(page.chunks(request).find(({ type }) => type === "tool-approval-request")?.approvalId);
  const wrong = send(page, asked, change, { inputs: { [id]: 3 } });
  await until(() => page.errorOf(wrong) !== undefined);
  assert.equal(page.errorOf(wrong), 'invalid_args: Cannot decide: "input" must be an object');
  const right = send(page, asked, change, { inputs: { [id]: { amount: 10 } } });
  await until(() => tools.runs.length === 1);
  assert.deepEqual(tools.last.call.input, { amount: 10 });
  await until(() => page.types(right).includes("tool-approval-response"));
  const [part] = (await messageOf(page, right, asked)).parts;
  assert.ok(part?.type === "dynamic-tool");
  assert.deepEqual([part.state, part.input], ["approval-responded", { amount: 10 }]);
});

Deno.test("[AS16] the output of a tool of the page goes to the model; of two pages, the first counts and both show it", async () => {
  const stage = await start();
  const { agent, page } = stage;
  const request = await askFor(stage, [call("pick")]);
  await ended(stage, request);
  const asked = await messageOf(page, request);
  assert.deepEqual(outline(asked), ["pick input-available"]);
  const other = await openPage(agent);
  const first = send(other, asked, { pick: { state: "output-available", output: { date: "2026-12-01" } } });
  await until(() => agent.model.calls.length === 2);
  assert.equal(agent.model.last.request.messages.at(-1)?.content, '{"date":"2026-12-01"}');
  const second = send(page, asked, { pick: { state: "output-error", errorText: "closed" } });
  agent.model.last.finish("Fine.");
  for (const [one, of] of [[other, first], [page, second]] as const) {
    await until(() => one.types(of).includes("end"));
    const { parts } = await messageOf(one, of, asked);
    const [part] = parts;
    assert.ok(part?.type === "dynamic-tool");
    assert.deepEqual([part.state, part.output, parts.length], [
      "output-available",
      { date: "2026-12-01" },
      3,
    ]);
  }
});

Deno.test("[AS16] what was decided elsewhere counts; an answer that ended is sent to its end; one of another chat is refused", async () => {
  const stage = await start();
  const { agent, tools, page } = stage;
  const request = await askFor(stage, [call("refund")]);
  await ended(stage, request);
  const asked = await messageOf(page, request);
  const other = await openPage(agent);
  send(other, asked, { refund: responded(asked, "refund", false) });
  await until(() => agent.model.calls.length === 2);
  const late = send(page, asked, { refund: responded(asked, "refund", true) });
  agent.model.last.finish("As you like.");
  await until(() => page.types(late).includes("end"));
  const expected = ["refund output-denied", "step-start", "As you like."];
  assert.deepEqual(outline(await messageOf(page, late, asked)), expected);
  const after = send(page, asked, { refund: responded(asked, "refund", true) });
  await until(() => page.types(after).includes("end"));
  assert.deepEqual(outline(await messageOf(page, after, asked)), expected);
  const forged = send(page, { ...asked, id: "answer-other" }, { refund: responded(asked, "refund", true) });
  await until(() => page.errorOf(forged) !== undefined);
  assert.match(page.errorOf(forged) ?? "", /^unknown_turn: /);
  assert.equal(tools.runs.length, 0);
  assert.equal(agent.model.calls.length, 2);
});

Deno.test("[AS15] a page that resumes is shown what waits, however long the turn is", async () => {
  const stage = await start();
  const { agent, tools, page } = stage;
  await askFor(stage, [call("find")], "One.");
  for (let step = 2; step <= 9; step++) {
    await until(() => tools.runs.length === step - 1);
    tools.last.end({ outcome: "ok", output: String(step) });
    await until(() => agent.model.calls.length === step);
    agent.model.last.end({ calls: [call(step === 9 ? "refund" : "find")] });
  }
  page.vanish();
  const later = await openPage(agent);
  const resumed = later.resume();
  await ended({ agent, tools, page: later }, resumed);
  const message = await messageOf(later, resumed);
  const calls = outline(message).filter((part) => part !== "step-start");
  assert.deepEqual(calls, ["One.", ...Array(8).fill("find output-available"), "refund approval-requested"]);
});

Deno.test("[AS17] a question that is asked while an answer waits takes its place; the calls that waited are ended", async () => {
  const stage = await start();
  const { agent, tools, page } = stage;
  const request = await askFor(stage, [call("refund")]);
  await ended(stage, request);
  const next = page.ask("Never mind", { id: "m2" });
  await until(() => agent.model.calls.length === 2);
  agent.model.last.finish("Fine.");
  await until(() => page.types(next).includes("end"));
  assert.equal(page.text(next), "Fine.");
  assert.equal(tools.runs.length, 0);
  const late = send(page, await messageOf(page, request), {
    refund: responded(await messageOf(page, request), "refund", true),
  });
  await until(() => page.errorOf(late) !== undefined);
  assert.match(page.errorOf(late) ?? "", /^unknown_turn/);
});

Deno.test("[AS14] the end of a turn ends its calls: those that ran, and those that waited", async () => {
  const stage = await start();
  const { agent, tools, page } = stage;
  const request = await askFor(stage, [call("find"), call("refund")]);
  await until(() => page.types(request).includes("tool-approval-request") && tools.runs.length === 1);
  (await openPage(agent)).ask("Stop", { id: "m2", body: { policy: "interrupt" } });
  await until(() => page.types(request).includes("end"));
  assert.equal(page.types(request).at(-2), "abort");
  const message = await messageOf(page, request);
  assert.deepEqual(outline(message), ["find output-error", "refund output-error"]);
});

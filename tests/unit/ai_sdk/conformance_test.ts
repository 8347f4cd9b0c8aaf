/** The two tables of docs/PROTOCOL.md about the AI SDK's transport, row by row: what happens, and the frames that the page gets. */

import assert from "node:assert/strict";
import { AgentError } from "../../../supabase/functions/_shared/errors.ts";
import { startAgent, type TestAgent, until } from "../../support/agent_harness.ts";
import { type AiSdkPage, openPage } from "../../support/ai_sdk_page.ts";
import { settle } from "../../support/manual_clock.ts";
import { ScriptedAgent } from "../../support/scripted_agent.ts";

interface Scene {
  agent: TestAgent;
  tools: ScriptedAgent;
  page: AiSdkPage;
  /** Asks, and waits until the model is asked. */
  ask(text: string, fields?: Record<string, unknown>): Promise<string>;
}

type Row = [what: string, frames: readonly string[], play: (scene: Scene) => Promise<string>];

const REGENERATE = { trigger: "regenerate-message" };
const TEXT = ["start", "text-start", "text-delta"];
const END = ["text-end", "finish", "end"];

const REQUESTS: readonly Row[] = [
  ["send submit-message", [...TEXT, ...END], async ({ agent, ask }) => {
    const request = await ask("Hi");
    agent.model.last.finish("Hello");
    return request;
  }],
  ["send regenerate-message", [...TEXT, ...END], async ({ agent, page, ask }) => {
    const first = await ask("Hi", { id: "m" });
    agent.model.last.finish("Hello");
    await until(() => page.types(first).includes("end"));
    const request = await ask("Hi", { id: "m", ...REGENERATE });
    agent.model.last.finish("Hello again");
    return request;
  }],
  // Its first frame has the name of a chunk's type too: it comes before the chunk.
  ["resume", ["start", ...TEXT, ...END], async ({ agent, page, ask }) => {
    await ask("Hi");
    const request = page.resume();
    await until(() => page.types(request).length > 0);
    agent.model.last.finish("Hello");
    return request;
  }],
  ["resume of nothing", ["no-active"], ({ page }) => Promise.resolve(page.resume("nothing"))],
  ["abort", TEXT, async ({ agent, page, ask }) => {
    const request = await ask("Hi");
    agent.model.last.say("Hel");
    await until(() => page.text(request) === "Hel");
    page.abort(request);
    await until(() => agent.model.last.aborted);
    return request;
  }],
];

const EVENTS: readonly Row[] = [
  ["queued, thinking", [], async ({ page, ask }) => {
    await ask("Hi", { id: "one" });
    const request = page.ask("And?", { id: "two" });
    await settle();
    return request;
  }],
  [
    "text, reasoning",
    ["start", "reasoning-start", "reasoning-delta", "reasoning-end", ...TEXT.slice(1)],
    async (
      { agent, page, ask },
    ) => {
      const request = await ask("Hi");
      agent.model.last.think("Hm.");
      agent.model.last.say("Hel");
      await until(() => page.text(request) === "Hel");
      return request;
    },
  ],
  [
    "the text begins again",
    [...TEXT, "reset-step", "text-start", "text-delta"],
    async ({ agent, page, ask }) => {
      const request = await ask("Hi");
      agent.model.last.say("Hel");
      await until(() => page.text(request) === "Hel");
      agent.model.last.restart();
      agent.model.last.say("Good day");
      await until(() => page.text(request) === "Good day");
      return request;
    },
  ],
  ["a notification", ["start", "data-notification"], async ({ agent, page, ask }) => {
    const request = await ask("Hi");
    agent.server.notices.toEveryone({
      kind: "notification",
      type: "status",
      notificationId: "n1",
      content: "Ready",
    });
    await until(() => page.types(request).length === 2);
    return request;
  }],
  ["cancelled", [...TEXT, "text-end", "abort", "end"], async ({ agent, page, ask }) => {
    const request = await ask("Hi", { id: "stopped" });
    agent.model.last.say("Hel");
    await until(() => page.text(request) === "Hel");
    const watching = await openPage(agent);
    const other = watching.resume();
    await until(() => watching.text(other) === "Hel");
    watching.ask("Hi", { id: "stopped", ...REGENERATE });
    return request;
  }],
  ["error of the turn", [...TEXT, "text-end", "error"], async ({ agent, page, ask }) => {
    const request = await ask("Hi");
    agent.model.last.say("Hel");
    await until(() => page.text(request) === "Hel");
    agent.model.last.fail(new AgentError("model_timeout", "No token came"));
    return request;
  }],
  [
    "a tool call, and a later step",
    ["start", "tool-input-available", "tool-output-available", "start-step", ...TEXT.slice(1)],
    async ({ agent, tools, page, ask }) => {
      const request = await ask("Hi");
      agent.model.last.end({ calls: [{ id: "1", name: "find", arguments: "{}" }] });
      await until(() => tools.runs.length === 1);
      tools.last.end({ outcome: "ok", output: "1" });
      await until(() => agent.model.calls.length === 2);
      agent.model.last.say("One.");
      await until(() => page.text(request) === "One.");
      return request;
    },
  ],
  [
    "the answer waits for a decision",
    ["start", "tool-input-available", "tool-approval-request", "finish", "end"],
    async ({ agent, page, ask }) => {
      const request = await ask("Hi");
      agent.model.last.end({ calls: [{ id: "1", name: "refund", arguments: "{}" }] });
      await until(() => page.types(request).includes("tool-approval-request"));
      agent.clock.advance(50);
      return request;
    },
  ],
  ["error of the question", ["error"], ({ page }) => Promise.resolve(page.ask(""))],
];

for (const [what, frames, play] of [...REQUESTS, ...EVENTS]) {
  Deno.test(`[AS2] [AS6] ${what}: ${frames.join(" ") || "nothing"}`, async () => {
    const tools = new ScriptedAgent({ find: {}, refund: { needs: "approval" } });
    const agent = startAgent({ agent: tools });
    const page = await openPage(agent);
    const ask: Scene["ask"] = async (text, fields) => {
      const calls = agent.model.calls.length;
      const request = page.ask(text, fields);
      await until(() => agent.model.calls.length > calls);
      return request;
    };
    const request = await play({ agent, tools, page, ask });
    const last = frames.at(-1);
    if (last !== undefined) await until(() => page.types(request).includes(last));
    await settle();
    assert.deepEqual(page.types(request), frames);
    assert.equal(page.closed, undefined);
  });
}

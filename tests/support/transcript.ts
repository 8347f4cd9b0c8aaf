/** The conversations in README.md, recorded from the local stack as a new user would run it. */

import { chooseDemo } from "../../local/demo.ts";
import { eventually, withLocalStack } from "./local_stack.ts";
import { WireClient } from "./wire_client.ts";

const QUESTION = '{"content":"Hello"}';
const REFUND = '{"content":"Refund order 1001"}';

/** The sections of README.md with the output of wscat. Values that differ between runs are replaced with words. */
export async function transcripts(): Promise<ReadonlyMap<string, string>> {
  const demo = await chooseDemo({});
  return await withLocalStack({ lite: true, pglite: true, model: "mock", demo }, async ({ wsUrl }) => {
    const agent = `${wsUrl}/functions/v1/agent_websocket`;
    const [hello, refund] = await Promise.all([helloOf(agent), refundOf(agent)]);
    return new Map([["transcript", block(hello)], ["transcript-tools", block(refund)]]);
  });
}

async function helloOf(agent: string): Promise<string[]> {
  const client = new WireClient(`${agent}?stream=true`);
  await eventually("the welcome", () => client.messages.length > 0);
  client.socket.send(QUESTION);
  await eventually("the answer", () => client.messages.some((text) => text.includes('"response"')));
  await client.close();
  const [welcome = "", thinking = "", ...rest] = client.messages;
  const [delta = "", response = ""] = [rest.at(0), rest.at(-1)];
  // The boundaries of the deltas depend on timing, so only the beginning of the first one is shown.
  const first = delta.replace(/"content":"(.).*"}/, '"content":"$1…"}');
  return [welcome, `> ${QUESTION}`, thinking, first, "…", response];
}

async function refundOf(agent: string): Promise<string[]> {
  const client = new WireClient(`${agent}?tools=true`);
  const find = (type: string): string | undefined =>
    client.messages.find((text) => text.startsWith(`{"type":"${type}"`));
  await eventually("the welcome", () => client.messages.length > 0);
  client.socket.send(REFUND);
  const { approval_id } = JSON.parse(
    await eventually("the request for approval", () => find("approval_requested")),
  );
  const asked = client.messages.slice(1);
  const decision = JSON.stringify({ type: "human_feedback", approval_id, verdict: "approve" });
  client.socket.send(decision);
  await eventually("the answer", () => find("response"));
  await eventually(
    "the confirmation",
    () => client.messages.some((text) => text.includes("decision_received")),
  );
  await client.close();
  const rest = client.messages.slice(1 + asked.length);
  // The confirmation is no event of the log: when it comes among these depends on timing. That it thinks again is not shown.
  const events = rest.filter((text) => text.includes('"seq":'));
  return [`> ${REFUND}`, ...asked.map(withoutTurn), `> ${decision}`, ...events.map(withoutTurn)];
}

/** A frame without what all frames of the conversation have in common. */
function withoutTurn(line: string): string {
  return line.replace(/"(timestamp|turn_id|in_reply_to)":"[^"]*",/g, "")
    .replace(/,"usage":{[^}]*}/, "");
}

function block(lines: readonly string[]): string {
  return ["```", ...lines.map(withoutChance), "```"].join("\n");
}

function withoutChance(line: string): string {
  return line
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uuid>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/"resume_token":"[\w-]{43}"/, '"resume_token":"<token>"');
}

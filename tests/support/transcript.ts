/** The conversation in README.md, recorded from the local stack as a new user would run it. */

import { eventually, withLocalStack } from "./local_stack.ts";
import { WireClient } from "./wire_client.ts";

const QUESTION = '{"content":"Hello"}';

/** The output of wscat. Values that differ between runs are replaced with words. */
export async function transcript(): Promise<string> {
  return await withLocalStack({ lite: true, pglite: true, model: "mock" }, async ({ wsUrl }) => {
    const client = new WireClient(`${wsUrl}/functions/v1/agent_websocket?stream=true`);
    await eventually("the welcome", () => client.messages.length > 0);
    client.socket.send(QUESTION);
    await eventually("the answer", () => client.messages.some((text) => text.includes('"response"')));
    await client.close();
    const [welcome = "", thinking = "", ...rest] = client.messages;
    const [delta = "", response = ""] = [rest.at(0), rest.at(-1)];
    // The boundaries of the deltas depend on timing, so only the beginning of the first one is shown.
    const first = delta.replace(/"content":"(.).*"}/, '"content":"$1…"}');
    const lines = [welcome, `> ${QUESTION}`, thinking, first, "…", response];
    return ["```", ...lines.map(withoutChance), "```"].join("\n");
  });
}

function withoutChance(line: string): string {
  return line
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uuid>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/"resume_token":"[\w-]{43}"/, '"resume_token":"<token>"');
}

/** The thread of the mock model: aimock with the OpenRouter API, and with answers for a demo. */

import { type ChatCompletionRequest, type Fixture, LLMock } from "@copilotkit/aimock";
import { type DemoMessage, demoReply } from "./demo_reply.ts";
import type { DemoTool } from "./demo_tools.ts";
import { serveThread } from "./thread.ts";

/** Characters in one piece of a streamed answer: about one token. */
const CHUNK_CHARS = 4;
/** US dollars per token, so that `usage.cost` is not zero. The numbers are invented. */
const PRICE = { prompt: 0.000_001, completion: 0.000_003 };

async function start(): Promise<number> {
  const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent", journalMaxEntries: 100 });
  mock.addFixtures([
    fixture((request) => demoReply(demoMessages(request)).slow, { ttft: 400, tps: 30, jitter: 0.4 }),
    fixture(() => true, { ttft: 300, tps: 60, jitter: 0.3 }),
  ]);
  await mock.start();
  return mock.port;
}

function fixture(
  applies: (request: ChatCompletionRequest) => boolean,
  streamingProfile: NonNullable<Fixture["streamingProfile"]>,
): Fixture {
  return {
    match: { endpoint: "chat", predicate: applies },
    response: (request) => {
      const messages = demoMessages(request);
      const { text, reasoning, call } = demoReply(messages, demoTools(request));
      const prompt = messages.reduce((sum, { content }) => sum + tokens(content), 0);
      const completion = tokens(text) + tokens(reasoning) +
        tokens(call === undefined ? "" : call.name + call.arguments);
      return {
        ...(call === undefined ? { content: text } : { toolCalls: [call] }),
        ...(reasoning !== "" && { reasoning }),
        usage: {
          prompt_tokens: prompt,
          completion_tokens: completion,
          total_tokens: prompt + completion,
          cost: Number((prompt * PRICE.prompt + completion * PRICE.completion).toFixed(6)),
        },
      };
    },
    chunkSize: CHUNK_CHARS,
    openRouterProcessing: true,
    streamingProfile,
  };
}

function demoMessages({ messages }: ChatCompletionRequest): readonly DemoMessage[] {
  return messages.map(({ role, content, tool_calls: calls = [] }) => ({
    role,
    content: typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "").join(""),
    called: calls.map(({ function: { name } }) => name),
  }));
}

function demoTools({ tools = [] }: ChatCompletionRequest): readonly DemoTool[] {
  return tools.map(({ function: tool }) => tool);
}

/** About four characters per token, as in English. */
function tokens(text: string): number {
  return Math.ceil(text.length / CHUNK_CHARS);
}

serveThread(start);

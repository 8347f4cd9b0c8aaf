/** Answers in the shapes of real servers, over real connections: the frames that a client gets, and what the log has. */

import assert from "node:assert/strict";
import { STREAMS } from "../fixtures/streams/streams.ts";
import { withAgent } from "../support/agent_process.ts";
import { connect, of } from "../support/agent_client.ts";
import { RawModelServer } from "../support/raw_model_server.ts";

/** What a client gets for a fixture: the text of its deltas, and the end. */
interface Expected {
  deltas: string;
  response?: { content: string; finish_reason: string; usage?: unknown };
  error?: { code: string; retryable: boolean; content: string; partial?: string };
}

const failed = (code: string, retryable: boolean, words: string, partial?: string): Expected => ({
  deltas: partial ?? "",
  error: {
    code,
    retryable,
    content: `Failed to generate response: ${words}`,
    ...(partial !== undefined && { partial }),
  },
});
const answered = (content: string, more: object = {}): Expected => ({
  deltas: content,
  response: { content, finish_reason: "stop", ...more },
});

/** By the names of the fixtures. */
const FRAMES: Readonly<Record<string, Expected>> = {
  "OpenRouter: comments, text and usage": answered("Hello, world", {
    usage: {
      prompt_tokens: 14,
      completion_tokens: 163,
      total_tokens: 177,
      reasoning_tokens: 120,
      cost: 0.00014,
    },
  }),
  "OpenRouter: all tokens were thought": failed(
    "empty_answer",
    false,
    "the model used all its tokens for thinking and had none left for the answer",
  ),
  "OpenRouter: an error in the stream": failed(
    "model_unavailable",
    true,
    "the model provider is unavailable",
    "So far",
  ),
  "OpenAI: a refusal is text": answered("I cannot help with that."),
  "OpenAI: nothing but a tool call": failed(
    "empty_answer",
    false,
    "the model called a tool instead of answering, and there are no tools here",
  ),
  "OpenAI: filtered away": failed(
    "empty_answer",
    false,
    "the content filter of the model provider removed the answer",
  ),
  "OpenAI: an answer of nothing": failed(
    "empty_answer",
    true,
    "the model ended its answer without writing anything",
  ),
  "OpenAI: the quota is used up, under the status of a rate limit": failed(
    "model_unauthorized",
    false,
    "the account with the model provider is out of credit",
  ),
  "Azure: the filter's results first, without choices, and beside the text": answered("One"),
  "Anthropic: overloaded, as a named event in the stream": failed(
    "model_unavailable",
    true,
    "the model provider is unavailable",
    "So",
  ),
  "Mistral: parts of thinking, of text, and of references": answered("42"),
  "Gemini: a reason and a usage with every chunk": answered("One two", {
    usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
  }),
  "Gemini: a list of one error as a body": failed(
    "model_rate_limited",
    true,
    "the model provider is rate limiting us",
  ),
  "Groq: the usage under x_groq": answered("One", {
    usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
  }),
  "DeepSeek: keep-alive comments, reasoning, text, usage": answered("42", {
    usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, reasoning_tokens: 1 },
  }),
  "llama.cpp: [DONE] without a finish reason": answered("One two"),
  "LM Studio: think tags, the opening one split": answered("42"),
  "Ollama: an empty finish reason with every chunk": answered("One two"),
  "a body instead of a stream": answered("Grüße"),
  "a stream that calls itself bytes": answered("One two"),
  "a web page": failed(
    "model_stream_broken",
    true,
    "the model provider answered with a web page instead of an answer",
  ),
};

Deno.test("[MD1] [MD3] [MD5] [MD6] [MD7] [MD8] the frames that come of each server's stream", async () => {
  await using model = await RawModelServer.start();
  const fixtures = STREAMS.filter(({ name }) => name in FRAMES);
  assert.equal(fixtures.length, Object.keys(FRAMES).length, "a name without a fixture");
  for (const { raw, status = 200, contentType = "text/event-stream" } of fixtures) {
    const headers = contentType === null ? {} : { "content-type": contentType };
    model.answer({ status, headers, steps: [raw] });
  }
  const env = { OPENROUTER_BASE_URL: model.baseUrl, MAX_RETRIES: "0", MODEL: "test/asked" };
  await withAgent({ env }, async (agent) => {
    await using client = await connect(`${agent.wsUrl}?stream=true`);
    const failures: string[] = [];
    for (const { name, raw } of fixtures) {
      const end = await client.answer(`Play ${name}`);
      const { deltas, response, error } = FRAMES[name] ?? assert.fail(name);
      const { content, code, retryable, partial, finish_reason, usage } = end;
      if (response === undefined) {
        assert.equal(end.type, "error", name);
        assert.deepEqual(
          { code, retryable, content, ...(partial !== undefined && { partial }) },
          error,
          name,
        );
        failures.push(raw);
      } else {
        assert.equal(end.type, "response", name);
        assert.deepEqual({ content, finish_reason, ...(usage !== undefined && { usage }) }, response, name);
      }
      const mine = client.frames.filter(of("delta")).filter((frame) => frame.in_reply_to === end.in_reply_to);
      let text = "";
      for (const { offset, content } of mine) text = text.slice(0, Number(offset)) + content;
      assert.equal(text, deltas, name);
    }
    const lines = agent.log.filter(({ event }) => event === "model_attempt_failed");
    assert.equal(lines.length, failures.length);
    for (const line of lines) {
      assert.equal(line.model, "test/asked");
      assert.ok(String(line.detail).length > 0);
    }
    const quota = lines.find(({ status }) => status === 429);
    assert.match(String(quota?.detail), /You exceeded your current quota/);
    const thought = lines.find(({ completion_tokens }) => completion_tokens === 163);
    assert.equal(thought?.code, "empty_answer", "the log has the tokens that an empty answer has cost");
    // No prompt has a thought, and failed turns are not in it.
    const [last] = model.requests.slice(-1);
    assert.doesNotMatch(JSON.stringify(last?.body), /<\/?think|Six|Failed/);
  });
});

Deno.test("[MD7] THINK_TAGS=leave shows thoughts as text, and no later prompt has them", async () => {
  await using model = await RawModelServer.start();
  const left = STREAMS.find(({ name }) => name === "think tags are left") ?? assert.fail("no such fixture");
  model.answer({ steps: [left.raw] });
  const env = { OPENROUTER_BASE_URL: model.baseUrl, THINK_TAGS: "leave" };
  await withAgent({ env }, async (agent) => {
    await using client = await connect(agent.wsUrl);
    assert.equal((await client.answer("Six times seven?")).content, left.text);
    await client.answer("And half of it?");
    const { messages } = model.requests[1]?.body as { messages: { role: string; content: string }[] };
    assert.deepEqual(messages.slice(1), [
      { role: "user", content: "Six times seven?" },
      { role: "assistant", content: "42" },
      { role: "user", content: "And half of it?" },
    ]);
  });
});

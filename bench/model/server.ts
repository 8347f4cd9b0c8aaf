/**
 * The model for both sides, in a process of its own: OpenRouter's stream, at the pace that the question sets.
 *
 * `deno run -A bench/model/server.ts` prints its port, and ends when its standard input ends.
 */

import { fromQuestion, type Script, tokenAt } from "./script.ts";

const MODEL = "bench/model";
const encoder = new TextEncoder();

const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
  const { messages } = await request.json();
  const script = fromQuestion(messages.at(-1).content);
  const headers = { "content-type": "text/event-stream" };
  return new Response(script.perSecond === 0 ? flood(script) : paced(script), { headers });
});
await Deno.stdout.write(encoder.encode(`${server.addr.port}\n`));

// Its standard input ends when the parent process has gone.
void Deno.stdin.readable.pipeTo(new WritableStream()).then(() => Deno.exit());

/** One write in each interval, with an offset per stream: streams of real models are not in step either. */
function paced({ tokens, perSecond, perWrite, word }: Script): ReadableStream<Uint8Array> {
  const intervalMs = 1000 * perWrite / perSecond;
  const startedAt = performance.now();
  let sent = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new ReadableStream({
    start(controller): void {
      const writeLater = (): void => {
        const dueAt = startedAt + (sent / perWrite + Math.random()) * intervalMs;
        timer = setTimeout(write, Math.max(0, dueAt - performance.now()));
      };
      const write = (): void => {
        const until = Math.min(tokens, sent + perWrite);
        let text = "";
        while (sent < until) text += tokenEvent(sent++, word);
        controller.enqueue(encoder.encode(text));
        if (sent < tokens) return writeLater();
        controller.enqueue(encoder.encode(ending(tokens)));
        controller.close();
      };
      // Send the first token at once: the time until it arrives is measured.
      write();
    },
    cancel(): void {
      clearTimeout(timer);
    },
  });
}

function flood({ tokens, word }: Script): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller): void {
      if (sent < tokens) return controller.enqueue(encoder.encode(tokenEvent(sent++, word)));
      controller.enqueue(encoder.encode(ending(tokens)));
      controller.close();
    },
  });
}

function tokenEvent(index: number, word?: string): string {
  return event([choice({ role: "assistant", content: tokenAt(index, word) }, null)]);
}

function ending(tokens: number): string {
  const usage = { prompt_tokens: 10, completion_tokens: tokens, total_tokens: 10 + tokens, cost: 0.001 };
  return event([choice({ role: "assistant", content: "" }, "stop")]) + event([], { usage }) +
    "data: [DONE]\n\n";
}

function choice(delta: object, finishReason: string | null): object {
  return { index: 0, delta, finish_reason: finishReason, native_finish_reason: finishReason, logprobs: null };
}

function event(choices: readonly object[], more: object = {}): string {
  const chunk = {
    id: "gen-1763722800-JhBq3sF0wXyZ7kLmNoPq",
    provider: "Bench",
    model: MODEL,
    object: "chat.completion.chunk",
    created: 1763722800,
    choices,
    ...more,
  };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

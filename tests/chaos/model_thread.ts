/**
 * The thread of the chaos model: an OpenAI-compatible server that answers correctly, or fails as planned. How
 * it continues an answer depends on the question: it obeys, refuses, begins again, or does something else
 * (`continuing_models.ts`).
 */

import { serveThread } from "../../local/thread.ts";
import { type ModelPlan, type ModelRates, piecesOf, planReply, replyFor } from "./model_plan.ts";
import { emptyReport } from "./records.ts";
import { findProblem, readPrompt } from "./model_prompt.ts";
import { numberOf } from "./script.ts";

export interface ModelSetup {
  seed: string;
  rates: ModelRates;
}

/** What the model has received and done, at `GET /report`. */
export interface ModelReport {
  /** The faults of each question, in the order of the requests. */
  faults: Record<string, string[]>;
  /** Requests for each question. */
  requests: Record<string, number>;
  /** How often the model was asked to continue an answer, in each way. */
  continuations: { prefill: number; anchored: number };
  /** Prompts that a correct agent does not send. */
  problems: string[];
  /** Every request, in order. One that failed has no first character. */
  streams: ModelStream[];
}

/** Times are in milliseconds since the epoch. */
export interface ModelStream {
  question: string;
  /** The numbers of the questions that came with it. */
  after: number[];
  /** When the first character was sent. */
  firstAt?: number;
  /** When the connection was lost in the middle of the answer. */
  lostAt?: number;
}

const encoder = new TextEncoder();

function start({ seed, rates }: ModelSetup): Promise<number> {
  const report = emptyReport();
  const options = {
    hostname: "127.0.0.1",
    port: 0,
    onListen: (): void => {},
    // Deno also reports cuts that we make ourselves here.
    onError: (): Response => new Response(null, { status: 500 }),
  };
  const server = Deno.serve(options, async (request) => {
    if (request.method === "GET") return Response.json(report);
    const prompt = readPrompt(await request.json());
    const problem = findProblem(prompt);
    if (problem !== undefined) {
      report.problems.push(problem);
      return refusal(400, problem);
    }
    const { question, asked, history } = prompt;
    if (asked.kind !== "answer") report.continuations[asked.kind]++;
    const attempt = report.requests[question] = (report.requests[question] ?? 0) + 1;
    const plan = planReply(seed, { question, attempt }, rates);
    if (plan.fault !== undefined) (report.faults[question] ??= []).push(plan.fault);
    const reply = replyFor(seed, { question, attempt, asked });
    const after = history.flatMap(({ role, content }) => role === "user" ? [numberOf(content) ?? 0] : []);
    const seen: ModelStream = { question, after };
    // A way to continue that is refused is followed by the next one at once.
    if (plan.fault !== undefined || !("status" in reply)) report.streams.push(seen);
    if (plan.fault === "status_429") return refusal(429, "slow down", { "retry-after": "0" });
    if (plan.fault === "status_500") return refusal(500, "out of order");
    if ("status" in reply) return refusal(reply.status, "this model does not continue a message");
    return new Response(stream(reply.text, plan, seen), {
      headers: { "content-type": "text/event-stream" },
    });
  });
  return Promise.resolve(server.addr.port);
}

function refusal(code: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error: { code, message } }, { status: code, headers });
}

function stream(text: string, plan: ModelPlan, seen: ModelStream): ReadableStream<Uint8Array> {
  let isWanted = true;
  return new ReadableStream<Uint8Array>({
    async start(controller): Promise<void> {
      const say = (data: unknown): void =>
        controller.enqueue(
          encoder.encode(typeof data === "string" ? data : `data: ${JSON.stringify(data)}\n\n`),
        );
      try {
        say(": OPENROUTER PROCESSING\n\n");
        await wait(plan.firstTokenMs);
        const pieces = piecesOf(text, plan.random);
        const end = breakingPoint(plan, pieces.length);
        for (const [index, content] of pieces.entries()) {
          if (!isWanted || index >= end) break;
          say(chunk({ delta: { role: "assistant", content }, finish_reason: null }));
          seen.firstAt ??= Date.now();
          await wait(plan.random.wait(plan.pauseMs));
        }
        if (!isWanted) return;
        if (plan.fault === undefined) {
          say({ ...chunk({ delta: { content: "" }, finish_reason: "stop" }), usage: usageOf(text) });
          say("data: [DONE]\n\n");
          controller.close();
        } else if (plan.fault === "error_in_stream") {
          say({
            error: { code: 502, message: "out of order" },
            ...chunk({ delta: {}, finish_reason: "error" }),
          });
          controller.close();
        } else if (plan.fault.startsWith("cut")) {
          controller.error(new Error("cut"));
        }
        // A stall: send nothing more, until the client gives up.
      } catch {
        // The client has gone.
      }
    },
    cancel(): void {
      isWanted = false;
      seen.lostAt = Date.now();
    },
  });
}

/** The piece at which the plan fails. Never the last one: then the text would be complete. */
function breakingPoint({ fault, faultAt }: ModelPlan, pieces: number): number {
  if (fault === undefined) return pieces;
  return fault.endsWith("_first") ? 0 : Math.floor(faultAt * pieces);
}

function chunk(choice: Record<string, unknown>): Record<string, unknown> {
  return {
    id: "gen-chaos",
    model: "chaos/model",
    object: "chat.completion.chunk",
    choices: [{ index: 0, ...choice }],
  };
}

function usageOf(text: string): Record<string, number> {
  const completion = Math.ceil(text.length / 4);
  return { prompt_tokens: 1, completion_tokens: completion, total_tokens: completion + 1 };
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

serveThread(start);

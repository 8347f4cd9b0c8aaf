/**
 * The thread of the chaos model: an OpenAI-compatible server that answers correctly, or fails as planned. How
 * it continues an answer depends on the question: it obeys, refuses, begins again, or does something else
 * (`continuing_models.ts`).
 */

import { serveThread } from "../../local/thread.ts";
import { callsFor, type ModelRates, planReply, replyFor } from "./model_plan.ts";
import { streamReply } from "./model_stream.ts";
import { emptyReport, type ModelStream } from "./model_report.ts";
import { findProblem, type Prompt, readPrompt } from "./model_prompt.ts";
import { numberOf } from "./script.ts";

export interface ModelSetup {
  seed: string;
  rates: ModelRates;
}

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
    const read = check(await request.json());
    if ("problem" in read) {
      report.problems.push(read.problem);
      return refusal(400, read.problem);
    }
    const { question, steps, asked, history } = read.prompt;
    if (steps.length > 0) report.told.push({ question, results: steps.flatMap(({ results }) => results) });
    if (asked.kind !== "answer") report.continuations[asked.kind]++;
    const attempt = report.requests[question] = (report.requests[question] ?? 0) + 1;
    const plan = planReply(seed, { question, attempt }, rates);
    if (plan.fault !== undefined) (report.faults[question] ??= []).push(plan.fault);
    const reply = replyFor(seed, { question, attempt, asked, step: steps.length });
    const after = history.flatMap(({ role, content }) => role === "user" ? [numberOf(content) ?? 0] : []);
    const seen: ModelStream = { question, after };
    // A way to continue that is refused is followed by the next one at once.
    if (plan.fault !== undefined || !("status" in reply)) report.streams.push(seen);
    if (plan.fault === "status_429") return refusal(429, "slow down", { "retry-after": "0" });
    if (plan.fault === "status_500") return refusal(500, "out of order");
    if ("status" in reply) return refusal(reply.status, "this model does not continue a message");
    const calls = callsFor({ question, asked, step: steps.length }, reply.text);
    return new Response(streamReply({ text: reply.text, calls }, plan, seen), {
      headers: { "content-type": "text/event-stream" },
    });
  });
  return Promise.resolve(server.addr.port);
}

function check(body: unknown): { prompt: Prompt } | { problem: string } {
  try {
    const prompt = readPrompt(body);
    const problem = findProblem(prompt);
    return problem === undefined ? { prompt } : { problem };
  } catch (error) {
    return { problem: `mismatched: ${error instanceof Error ? error.message : error}` };
  }
}

function refusal(code: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error: { code, message } }, { status: code, headers });
}

serveThread(start);

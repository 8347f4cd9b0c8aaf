/** The chaos model's answer as an event stream: its text in pieces, then its calls, as providers send them; or it breaks off. */

import { type ModelPlan, piecesOf } from "./model_plan.ts";
import type { Random } from "./random.ts";
import type { ModelStream } from "./model_report.ts";

export interface StreamedReply {
  text: string;
  calls: readonly { name: string; arguments: string }[];
}

const encoder = new TextEncoder();

export function streamReply(
  reply: StreamedReply,
  plan: ModelPlan,
  seen: ModelStream,
): ReadableStream<Uint8Array> {
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
        const texts = piecesOf(reply.text, plan.random).map((content) => ({ content }));
        const deltas = [...texts, ...callDeltas(reply.calls, plan.random)];
        const end = breakingPoint(plan, deltas.length);
        for (const [index, delta] of deltas.entries()) {
          if (!isWanted || index >= end) break;
          say(chunk({ delta: { role: "assistant", ...delta }, finish_reason: null }));
          if ("content" in delta) seen.firstAt ??= Date.now();
          await wait(plan.random.wait(plan.pauseMs));
        }
        if (!isWanted) return;
        if (plan.fault === undefined) {
          const reason = reply.calls.length > 0 && plan.random.chance(0.85) ? "tool_calls" : "stop";
          say({ ...chunk({ delta: { content: "" }, finish_reason: reason }), usage: usageOf(reply.text) });
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

/** Each call whole, or its arguments in fragments; with an id, or without one. */
function callDeltas(calls: StreamedReply["calls"], random: Random): { tool_calls: unknown[] }[] {
  const hasIds = random.chance(0.8);
  const all = calls.map(({ name, arguments: input }, index) => {
    const id = hasIds ? { id: `call_${index}`, type: "function" } : {};
    if (random.chance(0.4)) return [{ index, ...id, function: { name, arguments: input } }];
    const pieces = piecesOf(input, random).map((piece) => ({ index, function: { arguments: piece } }));
    return [{ index, ...id, function: { name, arguments: "" } }, ...pieces];
  });
  if (random.chance(0.2)) return all.length === 0 ? [] : [{ tool_calls: all.flat() }];
  return all.flat().map((one) => ({ tool_calls: [one] }));
}

/** The piece at which the plan fails. Never the last one: then the reply would be complete. */
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

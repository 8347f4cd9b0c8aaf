/**
 * What a request has used, as OpenRouter tells some seconds after its end, also of one that was given up:
 * `GET /generation?id=…` (https://openrouter.ai/docs/api-reference/get-a-generation).
 */

import type { Clock } from "../ports/runtime.ts";
import type { GenerationReader } from "../ports/usage.ts";
import type { Usage } from "../protocol/log_event.ts";
import { readStart } from "./body_reader.ts";
import type { Endpoint } from "./request.ts";

const MAX_BYTES = 65_536;
const TIMEOUT_MS = 10_000;

export interface GenerationReaderOptions extends Pick<Endpoint, "baseUrl" | "apiKey"> {
  clock: Clock;
  fetch: typeof fetch;
}

export function createGenerationReader(options: GenerationReaderOptions): GenerationReader {
  const { baseUrl, apiKey, clock, fetch } = options;
  return {
    async usageOf(generationId): Promise<Usage | undefined> {
      const url = new URL(baseUrl);
      url.pathname = `${url.pathname.replace(/\/+$/, "")}/generation`;
      url.searchParams.set("id", generationId);
      const headers = new Headers(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` });
      const abort = new AbortController();
      const cancelTimer = clock.after(TIMEOUT_MS, () => abort.abort());
      try {
        const { ok, body } = await fetch(url.href, { headers, signal: abort.signal });
        const text = await readStart(body, { maxBytes: MAX_BYTES, waitMs: TIMEOUT_MS, clock });
        return ok ? readGeneration(JSON.parse(text)) : undefined;
      } catch {
        return undefined;
      } finally {
        cancelTimer();
      }
    },
  };
}

/** The native counts are those that are paid for; the others are of a tokenizer that is the same for all models. */
function readGeneration(answer: unknown): Usage | undefined {
  const data = field(answer, "data");
  const count = (name: string): number | undefined => {
    const value = field(data, name);
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  };
  const prompt = count("native_tokens_prompt") ?? count("tokens_prompt");
  const completion = count("native_tokens_completion") ?? count("tokens_completion");
  if (prompt === undefined || completion === undefined) return undefined;
  const reasoning = count("native_tokens_reasoning");
  const cost = field(data, "total_cost");
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    ...(reasoning !== undefined && reasoning > 0 && { reasoning_tokens: reasoning }),
    ...(typeof cost === "number" && Number.isFinite(cost) && cost >= 0 && { cost }),
  };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

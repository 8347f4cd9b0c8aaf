/**
 * Modules that a worker loads only when it needs them: the decoders of frames and messages (zod, with the schemas), and the
 * model's client. The first frame needs none of them, and together they cost more CPU than all that it needs
 * (docs/decisions/0031).
 */

import type { DoorDeps } from "../_shared/ai_sdk/door_deps.ts";
import type { Config } from "../_shared/config.ts";
import type { OpenAiSdkSocket } from "../_shared/http/ai_sdk.ts";
import type { RelayReaders } from "../_shared/notify/inbox.ts";
import { OnDemand } from "../_shared/on_demand.ts";
import { dialectOf } from "../_shared/model_dialect.ts";
import type { LanguageModel } from "../_shared/ports/model.ts";
import type { Clock, Log } from "../_shared/ports/runtime.ts";
import type { GenerationReader } from "../_shared/ports/usage.ts";
import type { DecodeAction } from "../_shared/protocol/activity_actions.ts";
import type { Decode } from "../_shared/protocol/decode.ts";
import type { ParseActivity } from "../_shared/protocol/published_activity.ts";

/** Messages of the relay, each of at most 256 KB, that wait while their decoder is loaded. */
const MAX_UNREAD_MESSAGES = 100;

export interface Readers {
  /** Of frames of the agent's clients. */
  decoder: OnDemand<Decode>;
  /** Of frames of watchers. */
  actionDecoder: OnDemand<DecodeAction>;
  /** Of events that other functions publish. */
  activityParser: OnDemand<ParseActivity>;
  /** Of messages of other workers and functions. */
  relayReaders: OnDemand<RelayReaders>;
}

export function createReaders(): Readers {
  return {
    decoder: new OnDemand(async () => (await import("../_shared/protocol/decode.ts")).decode),
    actionDecoder: new OnDemand(
      async () => (await import("../_shared/protocol/activity_actions.ts")).decodeAction,
    ),
    activityParser: new OnDemand(
      async () => (await import("../_shared/protocol/published_activity.ts")).parsePublishedActivity,
    ),
    relayReaders: new OnDemand(async () => {
      const { readSessionCall } = await import("../_shared/protocol/session_call.ts");
      const { readRelayedNotification } = await import("../_shared/notify/relayed.ts");
      return { readSessionCall, readRelayedNotification };
    }, { maxWaiting: MAX_UNREAD_MESSAGES }),
  };
}

/** What speaks the AI SDK's dialect. */
export function createAiSdk(deps: DoorDeps): OnDemand<OpenAiSdkSocket> {
  return new OnDemand<OpenAiSdkSocket>(async () =>
    (await import("../_shared/ai_sdk/open_socket.ts")).createDoors(deps)
  );
}

export function createModel(config: Config, { clock, log }: { clock: Clock; log: Log }): LanguageModel {
  const model = new OnDemand(async () => {
    const { createOpenRouter } = await import("../_shared/openrouter/open_router.ts");
    const { ReadPacer } = await import("../_shared/openrouter/read_pacer.ts");
    return createOpenRouter({
      baseUrl: config.OPENROUTER_BASE_URL,
      apiKey: config.OPENROUTER_API_KEY,
      referer: config.OPENROUTER_REFERER,
      title: config.OPENROUTER_TITLE,
      dialect: config.MODEL_DIALECT,
      maxPromptTokens: config.MAX_PROMPT_TOKENS,
      maxRetries: config.MAX_RETRIES,
      firstTokenTimeoutMs: config.FIRST_TOKEN_TIMEOUT_MS,
      stallTimeoutMs: config.STALL_TIMEOUT_MS,
      thinkTags: config.THINK_TAGS,
      prefillModels: config.CONTINUE_POLICY === "continue" ? ["*"] : config.PREFILL_MODELS,
      clock,
      log,
      fetch,
      random: Math.random,
      pacer: new ReadPacer({ clock }),
    });
  });
  return { reply: async (request, options) => (await model.get()).reply(request, options) };
}

/** Undefined where the provider is not OpenRouter: no other can be asked later what a request has used. */
export function createGenerationReader(config: Config, clock: Clock): GenerationReader | undefined {
  const { OPENROUTER_BASE_URL: baseUrl, OPENROUTER_API_KEY: apiKey } = config;
  if (dialectOf(baseUrl, config.MODEL_DIALECT) !== "openrouter") return undefined;
  const reader = new OnDemand(async () => {
    const { createGenerationReader } = await import("../_shared/openrouter/generation_reader.ts");
    return createGenerationReader({ baseUrl, apiKey, clock, fetch });
  });
  return { usageOf: async (generationId) => (await reader.get()).usageOf(generationId) };
}

/** Three language models: the test double, and the client with each of two servers. */

import assert from "node:assert/strict";
import * as z from "zod";
import { AgentError, type ErrorCode } from "../../supabase/functions/_shared/errors.ts";
import { createOpenRouter } from "../../supabase/functions/_shared/openrouter/open_router.ts";
import { systemClock } from "../../supabase/functions/_shared/platform/system.ts";
import type {
  LanguageModel,
  ModelMessage,
  ModelToolCall,
} from "../../supabase/functions/_shared/ports/model.ts";
import type { CancelTimer } from "../../supabase/functions/_shared/ports/runtime.ts";
import type { Usage } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { delta, finish, sse } from "../support/model_stream.ts";
import {
  type RawAnswer,
  RawModelServer,
  type RawRequest,
  type RawStep,
} from "../support/raw_model_server.ts";
import { type ReplyEnd, type ScriptedCall, ScriptedModel } from "../support/scripted_model.ts";
import { callDeltas } from "../support/tool_call_streams.ts";

import type { AimockAnswer, AimockMessage } from "./aimock_thread.ts";

export interface Answer {
  text: string;
  /** The tools that it calls behind the text. Default none. */
  calls?: readonly ModelToolCall[];
  usage?: Usage;
  /** The delay before each piece of 20 characters, in milliseconds. Default: 0. */
  pieceMs?: number;
}

/** A model whose answers can be set by question. */
export interface ModelProvider {
  readonly model: LanguageModel;
  start(): Promise<void>;
  stop(): Promise<void>;
  answer(question: string, answer: Answer): Promise<void>;
  /** Makes the question fail as if the provider answered with this HTTP status. */
  fail(question: string, status: number): Promise<void>;
  /** Settles when the model has received the question. */
  begun(question: string): Promise<void>;
  /** Settles when the provider sees that its first answer was aborted, if it can see that. */
  gaveUp(): Promise<void>;
}

const PIECE_CHARS = 20;

function pieces(text: string): string[] {
  const characters = Array.from(text);
  return Array.from(
    { length: Math.ceil(characters.length / PIECE_CHARS) },
    (_, index) => characters.slice(index * PIECE_CHARS, (index + 1) * PIECE_CHARS).join(""),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(5);
}

/** The test double. */
export class ScriptedProvider implements ModelProvider {
  readonly model = new ScriptedModel();
  readonly #scripts = new Map<string, Answer | AgentError>();
  readonly #clock = systemClock();
  readonly #timers = new Set<CancelTimer>();

  start(): Promise<void> {
    void this.#lead();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    for (const cancel of this.#timers) cancel();
    return Promise.resolve();
  }

  answer(question: string, answer: Answer): Promise<void> {
    this.#scripts.set(question, answer);
    return Promise.resolve();
  }

  fail(question: string, status: number): Promise<void> {
    const codes: Record<number, ErrorCode> = {
      400: "model_rejected",
      401: "model_unauthorized",
      402: "model_unauthorized",
      429: "model_rate_limited",
      500: "model_unavailable",
    };
    const retryable = status === 429 || status >= 500;
    this.#scripts.set(question, new AgentError(codes[status] ?? "internal", "it failed", { retryable }));
    return Promise.resolve();
  }

  begun(question: string): Promise<void> {
    return eventually(() =>
      this.model.calls.some(({ request }) => questionOf(request.messages) === question)
    );
  }

  gaveUp(): Promise<void> {
    return eventually(() => this.model.calls[0]?.aborted === true);
  }

  /** Controls every call, each with its own timing. */
  async #lead(): Promise<void> {
    for (;;) {
      const call = await this.model.nextCall();
      const script = this.#scripts.get(questionOf(call.request.messages));
      if (script instanceof AgentError) call.fail(script);
      else if (script !== undefined) this.#say(call, script, 0);
    }
  }

  #say(call: ScriptedCall, answer: Answer, index: number): void {
    const cancel = this.#clock.after(answer.pieceMs ?? 0, () => {
      this.#timers.delete(cancel);
      const piece = pieces(answer.text)[index];
      if (piece === undefined) return call.end(endOf(answer));
      call.say(piece);
      this.#say(call, answer, index + 1);
    });
    this.#timers.add(cancel);
  }
}

function endOf({ usage, calls = [] }: Answer): ReplyEnd {
  return {
    ...(usage !== undefined && { usage }),
    ...(calls.length > 0 && { calls }),
  };
}

/** The newest message of the user. */
function questionOf(messages: readonly Pick<ModelMessage, "role" | "content">[]): string {
  return messages.findLast(({ role }) => role === "user")?.content ?? "";
}

/** The deployed client, with a key that no server checks. */
function clientOf(baseUrl: string): LanguageModel {
  return createOpenRouter({
    baseUrl,
    apiKey: "sk-or-test",
    maxRetries: 0,
    firstTokenTimeoutMs: 10_000,
    stallTimeoutMs: 10_000,
    clock: systemClock(),
    random: Math.random,
    fetch,
    log: { write: () => {} },
  });
}

/** The client, with aimock as OpenRouter. */
export class AimockProvider implements ModelProvider {
  #worker: Worker | undefined;
  #model: LanguageModel | undefined;

  get model(): LanguageModel {
    if (this.#model === undefined) throw new Error("Cannot ask: start() was not called");
    return this.#model;
  }

  async start(): Promise<void> {
    this.#worker = new Worker(import.meta.resolve("./aimock_thread.ts"), { type: "module" });
    this.#model = clientOf(`${await this.#tell({ do: "start" })}/api/v1`);
  }

  stop(): Promise<void> {
    this.#worker?.terminate();
    return Promise.resolve();
  }

  async answer(question: string, { text, calls = [], usage, pieceMs = 0 }: Answer): Promise<void> {
    await this.#tell({ do: "answer", question, text, calls, usage, pieceMs, pieceChars: PIECE_CHARS });
  }

  async fail(question: string, status: number): Promise<void> {
    await this.#tell({ do: "fail", question, status });
  }

  async begun(): Promise<void> {
    while (await this.#tell({ do: "count" }) === 0) await pause(5);
  }

  // aimock does not notice an abort.
  gaveUp(): Promise<void> {
    return Promise.resolve();
  }

  #tell(message: AimockMessage): Promise<AimockAnswer> {
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      if (worker === undefined) return reject(new Error("Cannot ask: start() was not called"));
      worker.onmessage = ({ data }): void => resolve(data);
      worker.onerror = reject;
      worker.postMessage(message);
    });
  }
}

/** The client, with a server of scripted bytes. */
export class RawProvider implements ModelProvider {
  readonly #answers = new Map<string, RawAnswer>();
  #server: RawModelServer | undefined;
  #model: LanguageModel | undefined;

  get model(): LanguageModel {
    return this.#model ??= clientOf(this.#started.baseUrl);
  }

  async start(): Promise<void> {
    this.#server = await RawModelServer.start();
    this.#server.answer((request) => this.#answers.get(asked(request)) ?? { status: 404 });
  }

  async stop(): Promise<void> {
    await this.#started.close();
  }

  answer(question: string, { text, calls = [], usage, pieceMs = 0 }: Answer): Promise<void> {
    const said = pieces(text).flatMap((piece): RawStep[] => [{ waitMs: pieceMs }, delta(piece)]);
    // As Ollama: one index for all calls, and the reason of text.
    const called = callDeltas("the index 0 for all calls (Ollama)", calls).map((each) =>
      sse({ model: "test/model", choices: [{ index: 0, delta: each, finish_reason: null }] })
    );
    const steps = [...said, ...called];
    const end = finish() + (usage === undefined ? "" : sse({ choices: [], usage })) + sse("[DONE]");
    this.#answers.set(question, { steps: [...steps, end] });
    return Promise.resolve();
  }

  fail(question: string, status: number): Promise<void> {
    this.#answers.set(question, { status, headers: {}, steps: ["it failed"] });
    return Promise.resolve();
  }

  begun(question: string): Promise<void> {
    return eventually(() => this.#started.requests.some((request) => asked(request) === question));
  }

  async gaveUp(): Promise<void> {
    assert.ok(await (await this.#started.request(0)).disconnected);
  }

  get #started(): RawModelServer {
    if (this.#server === undefined) throw new Error("Cannot ask: start() was not called");
    return this.#server;
  }
}

/** The question of a request. */
function asked({ body }: RawRequest): string {
  const role = z.enum(["system", "user", "assistant", "tool"]);
  const message = z.object({ role, content: z.string().nullable().transform((content) => content ?? "") });
  return questionOf(z.object({ messages: z.array(message) }).parse(body).messages);
}

/** Runs the tools of the page. */

import { AgentClientError } from "./error.ts";
import type { ToolCall } from "./tool_calls.ts";

/** What a tool gets beside its input. */
export interface ClientToolOptions {
  /** Aborted when the call needs no answer any more: another page was faster, the turn ended, or the client was closed. */
  signal: AbortSignal;
  callId: string;
}

/**
 * A tool that the page runs. Returns a JSON value, which the model is told. The server has checked the input against the schema
 * of the tool.
 */
// A method, so that a function may name the type of its own input.
export type ClientTool = { run(input: unknown, options: ClientToolOptions): unknown }["run"];

/** The tools of the page, by name. */
export type ClientTools = Readonly<Record<string, ClientTool>>;

/** Errors after which another answer would be of no use. */
const SETTLED: readonly string[] = ["already_decided", "unknown_call"];

export class ToolRunner {
  readonly #tools: ClientTools;
  readonly #answer: (callId: string, answer: { output: unknown } | { error: string }) => Promise<void>;
  readonly #runs = new Map<string, AbortController>();

  constructor(
    tools: ClientTools,
    answer: (callId: string, answer: { output: unknown } | { error: string }) => Promise<void>,
  ) {
    this.#tools = tools;
    this.#answer = answer;
  }

  /** Runs the calls that wait for a client, each once. */
  run(calls: readonly ToolCall[]): void {
    for (const call of calls) {
      const { callId, name, state } = call;
      if (state !== "client" || this.#runs.has(callId) || !Object.hasOwn(this.#tools, name)) continue;
      const controller = new AbortController();
      this.#runs.set(callId, controller);
      void this.#runOne(call, controller.signal);
    }
  }

  isRunning(callId: string): boolean {
    return this.#runs.has(callId);
  }

  /** Aborts what runs for calls that are not among those, or do not wait any more. */
  abortAnswered(calls: readonly ToolCall[]): void {
    for (const [callId, controller] of this.#runs) {
      if (calls.some((call) => call.callId === callId && call.state === "client")) continue;
      this.#runs.delete(callId);
      controller.abort();
    }
  }

  stop(): void {
    this.abortAnswered([]);
  }

  async #runOne({ callId, name, input }: ToolCall, signal: AbortSignal): Promise<void> {
    let answer: { output: unknown } | { error: string };
    try {
      const output = await this.#tools[name]?.(input, { signal, callId });
      // Throws for what is no JSON value.
      answer = { output: JSON.parse(JSON.stringify(output) ?? "null") };
    } catch (error) {
      answer = { error: wordsOf(error) };
    }
    try {
      if (!signal.aborted) await this.#answer(callId, answer);
    } catch (error) {
      if (signal.aborted || !(error instanceof AgentClientError)) return;
      // The next connection of the client runs it again.
      if (error.retryable) this.#runs.delete(callId);
      else if (!SETTLED.includes(error.code)) {
        await this.#answer(callId, { error: `Cannot send the result: ${error.message}` }).catch(() => {});
      }
    }
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : String(error) || "failed";
}

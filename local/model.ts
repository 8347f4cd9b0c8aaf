/** Which model answers: the one in the environment, one that a test supplies, or the mock. */

import { startThread } from "./thread.ts";

export interface Model {
  /** A description for the welcome message and the status page. */
  description: string;
  /** For `OPENROUTER_BASE_URL`; missing if the environment already sets it. */
  baseUrl?: string;
  stop(): void;
}

/** `env` uses the environment's model. Default: `env` if the environment has a key or a base URL, otherwise `mock`. */
export type ModelChoice = "mock" | "env" | { baseUrl: string };

/** Rejects if the mock cannot start. */
export async function chooseModel(
  env: Readonly<Record<string, string>>,
  choice: ModelChoice = env.OPENROUTER_API_KEY || env.OPENROUTER_BASE_URL ? "env" : "mock",
): Promise<Model> {
  const stop = (): void => {};
  if (typeof choice === "object") {
    return { description: `the server at ${choice.baseUrl}`, baseUrl: choice.baseUrl, stop };
  }
  if (choice === "env") {
    const description = env.OPENROUTER_BASE_URL
      ? `the server at ${env.OPENROUTER_BASE_URL} (OPENROUTER_BASE_URL)`
      : "OpenRouter (OPENROUTER_API_KEY)";
    return { description, stop };
  }
  const script = new URL("./mock_model_thread.ts", import.meta.url);
  const mock = startThread(script, { name: "the mock model", setup: {} });
  return {
    description: "the local mock, with demo answers (set OPENROUTER_API_KEY for a real one)",
    baseUrl: `http://127.0.0.1:${await mock.port}/api/v1`,
    stop: mock.stop,
  };
}

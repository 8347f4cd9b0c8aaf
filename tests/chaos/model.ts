/** The chaos model, as the run sees it. */

import { startThread } from "../../local/thread.ts";
import type { ModelReport } from "./model_report.ts";
import type { ModelSetup } from "./model_thread.ts";

export interface ChaosModel {
  /** For `OPENROUTER_BASE_URL`. */
  baseUrl: string;
  report(): Promise<ModelReport>;
  stop(): void;
}

export async function startModel(setup: ModelSetup): Promise<ChaosModel> {
  const thread = startThread(new URL("./model_thread.ts", import.meta.url), {
    name: "the chaos model",
    setup,
  });
  const url = `http://127.0.0.1:${await thread.port}`;
  return {
    baseUrl: `${url}/api/v1`,
    report: async () => await (await fetch(`${url}/report`)).json(),
    stop: thread.stop,
  };
}

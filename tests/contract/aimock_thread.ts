/**
 * Runs aimock in its own thread. aimock leaves timers behind, and Deno's test sanitizers would fail the test for them.
 * Every message gets one answer, in order.
 */

import { LLMock } from "@copilotkit/aimock";
import type { ModelToolCall } from "../../supabase/functions/_shared/ports/model.ts";
import type { Usage } from "../../supabase/functions/_shared/protocol/log_event.ts";

export type AimockMessage =
  | { do: "start" }
  | {
    do: "answer";
    question: string;
    text: string;
    calls: readonly ModelToolCall[];
    usage: Usage | undefined;
    pieceMs: number;
    pieceChars: number;
  }
  | { do: "fail"; question: string; status: number }
  | { do: "count" };

/** The URL for `start`; the number of requests so far for every other message. */
export type AimockAnswer = string | number;

declare const self: {
  onmessage: (event: MessageEvent<AimockMessage>) => void;
  postMessage(answer: AimockAnswer): void;
};

const mock = new LLMock({ port: 0, host: "127.0.0.1" });

self.onmessage = async ({ data }): Promise<void> => {
  switch (data.do) {
    case "start":
      await mock.start();
      return self.postMessage(mock.url);
    case "answer": {
      const { question, text, calls, usage, pieceMs, pieceChars } = data;
      const toolCalls = calls.map(({ id, name, arguments: input }) => ({ id, name, arguments: input }));
      const response = {
        content: text,
        ...(calls.length > 0 && { toolCalls }),
        ...(usage !== undefined && { usage: { ...usage } }),
      };
      mock.onMessage(question, response, { latency: pieceMs, chunkSize: pieceChars });
      break;
    }
    case "fail":
      mock.onMessage(data.question, { error: { message: "it failed" }, status: data.status });
      break;
    case "count":
      break;
  }
  self.postMessage(mock.getRequests().length);
};

/** The input and the result of every scenario. */

import type { Row } from "../report/row.ts";

export interface ScenarioOptions {
  modelPort: number;
  /** How often each side is measured. */
  rounds: number;
  /** Less of everything, for a first look. */
  isQuick: boolean;
  /** The folder of another checkout of the project, as a URL with a slash at its end. */
  against?: URL | undefined;
  /** Called with a description of the current step. */
  onProgress(text: string): void;
}

export type Scenario = (options: ScenarioOptions) => Promise<readonly Row[]>;

/** Paths from `bench/host/`. */
export const ENTRIES = {
  floor: "../floor/agent.ts",
  insertPerToken: "../floor/insert_per_token.ts",
  bareSocket: "../floor/bare_socket.ts",
  emptyFunction: "../floor/empty_function.ts",
  ours: "../../supabase/functions/agent_websocket/index.ts",
  oursUncoalesced: "../ours/uncoalesced.ts",
} as const;

/** Stops everything that was started, also after a failure. */
export async function withAll<T extends { stop(): Promise<void> }, R>(
  started: readonly Promise<T>[],
  use: (all: readonly T[]) => Promise<R>,
): Promise<R> {
  const settled = await Promise.allSettled(started);
  try {
    return await use(
      settled.map((each) => {
        if (each.status === "rejected") throw each.reason;
        return each.value;
      }),
    );
  } finally {
    await Promise.all(settled.map((each) => each.status === "fulfilled" ? each.value.stop() : undefined));
  }
}

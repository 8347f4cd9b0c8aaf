/** The project in a process of its own, and its settings in a worker's environment. */

import { createKeys } from "../../local/keys.ts";
import type { RealtimeStats } from "../../local/realtime/realtime.ts";
import { SideProcess } from "../host/side_process.ts";
import { invalid } from "../report/invalid.ts";
import type { Counts } from "./call_counts.ts";

const SERVER = new URL("server.ts", import.meta.url);

export class ProjectProcess {
  readonly url: string;
  readonly secretKey: string;
  readonly #process: SideProcess;

  private constructor(process: SideProcess, secretKey: string) {
    this.url = `http://127.0.0.1:${process.port}`;
    this.secretKey = secretKey;
    this.#process = process;
  }

  static async start(): Promise<ProjectProcess> {
    const { secretKey } = await createKeys({});
    const flags = ["--unstable-no-legacy-abort"];
    return new ProjectProcess(await SideProcess.start(SERVER, { name: "the project", flags }), secretKey);
  }

  env(store: "postgres" | "memory"): Record<string, string> {
    return {
      SUPABASE_URL: this.url,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: this.secretKey }),
      SESSION_STORE: store,
    };
  }

  /** The calls since the last time. */
  async takeCounts(): Promise<Counts> {
    return await (await fetch(`${this.url}/bench/counts`)).json();
  }

  /**
   * The totals since the start: posts accepted by its Realtime, and posts refused and channels closed for too many
   * messages.
   */
  async realtime(): Promise<Pick<RealtimeStats, "published" | "refused" | "closed">> {
    return await (await fetch(`${this.url}/bench/realtime`)).json();
  }

  async sql(text: string): Promise<void> {
    const response = await fetch(`${this.url}/bench/sql`, { method: "POST", body: text });
    if (!response.ok) throw invalid(`the database refused: ${await response.text()}`);
    await response.body?.cancel();
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}

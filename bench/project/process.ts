/** The project in a process of its own, and what a worker finds of it in its environment. */

import { createKeys } from "../../local/keys.ts";
import { invalid } from "../report/invalid.ts";
import type { Counts } from "./call_counts.ts";

export class ProjectProcess {
  readonly url: string;
  readonly secretKey: string;
  readonly #child: Deno.ChildProcess;

  private constructor(url: string, secretKey: string, child: Deno.ChildProcess) {
    this.url = url;
    this.secretKey = secretKey;
    this.#child = child;
  }

  static async start(): Promise<ProjectProcess> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        "--unstable-no-legacy-abort",
        new URL("server.ts", import.meta.url).href,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { value } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    const port = Number(value);
    if (!(port > 0)) throw invalid("the project did not start");
    return new ProjectProcess(`http://127.0.0.1:${port}`, (await createKeys({})).secretKey, child);
  }

  env(store: "postgres" | "memory"): Record<string, string> {
    return {
      SUPABASE_URL: this.url,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: this.secretKey }),
      SESSION_STORE: store,
    };
  }

  /** What it was asked since the last time. */
  async takeCounts(): Promise<Counts> {
    return await (await fetch(`${this.url}/bench/counts`)).json();
  }

  async sql(text: string): Promise<void> {
    const response = await fetch(`${this.url}/bench/sql`, { method: "POST", body: text });
    if (!response.ok) throw invalid(`the database refused: ${await response.text()}`);
    await response.body?.cancel();
  }

  /** By the end of its standard input: it has a database to stop. */
  async stop(): Promise<void> {
    await this.#child.stdin.close();
    await this.#child.status;
  }
}

/** The model server in a process of its own. */

import { invalid } from "../report/invalid.ts";

export class ModelProcess {
  readonly port: number;
  readonly #child: Deno.ChildProcess;

  private constructor(port: number, child: Deno.ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  static async start(): Promise<ModelProcess> {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", new URL("server.ts", import.meta.url).href],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { value } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    const port = Number(value);
    if (!(port > 0)) throw invalid("the model server did not start");
    return new ModelProcess(port, child);
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** The benchmark's end of the socket that asks a measured process for its resource usage. */

import { invalid } from "../report/invalid.ts";
import type { Used } from "./host.ts";

export class Control {
  readonly #connection: Deno.Conn;
  readonly #chunks: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
    this.#chunks = connection.readable.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** `u` for the usage, `c` for the usage after a garbage collection. */
  async ask(question: "u" | "c"): Promise<Used> {
    await this.#connection.write(new TextEncoder().encode(question));
    return await this.next();
  }

  /** The next answer. Rejects if the process has died. */
  async next(): Promise<Used> {
    let end: number;
    while ((end = this.#text.indexOf("\n")) < 0) {
      const { done, value } = await this.#chunks.read();
      if (done) throw invalid("a server has died");
      this.#text += value;
    }
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return JSON.parse(line);
  }

  async close(): Promise<void> {
    await this.#chunks.cancel().catch(() => {});
  }
}

/**
 * A WebSocket of any protocol, for tests that check the bytes on the wire. `agent_client.ts` speaks the agent's
 * protocol.
 */

import { eventually } from "./local_stack.ts";

/** A WebSocket that queues its messages until they are read. */
export class WireClient {
  readonly socket: WebSocket;
  readonly messages: string[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly #ended: Promise<void>;

  /** `headers` work only on Deno: a browser cannot set any. */
  constructor(url: string, protocols: string[] = [], headers: Readonly<Record<string, string>> = {}) {
    this.socket = new WebSocket(url, { protocols, headers: { ...headers } });
    this.socket.onmessage = ({ data }) => this.messages.push(String(data));
    this.socket.onerror = () => {};
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.socket.onclose = ({ code, reason }) => {
      this.closed ??= { code, reason };
      resolve();
    };
  }

  /** Removes and returns the oldest message that matches. Waits for one if there is none. */
  async next(matching: RegExp = /^/, withinMs = 30_000): Promise<string> {
    const found = await eventually(`a message like ${matching} (got ${this.messages.length} others)`, () => {
      const index = this.messages.findIndex((message) => matching.test(message));
      return index < 0 ? undefined : { index };
    }, withinMs);
    const [message = ""] = this.messages.splice(found.index, 1);
    return message;
  }

  /** Waits for the close, and returns its code and reason. */
  async end(withinMs = 30_000): Promise<{ code: number; reason: string }> {
    return await eventually("the socket's close", () => this.closed, withinMs);
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.#ended;
  }
}

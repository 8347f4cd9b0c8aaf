/** Sockets of our client that lead to a worker in this process. */

import type { SocketConstructor, SocketLike } from "../../client/ports.ts";
import type { TestAgent, TestClient } from "./agent_harness.ts";

export interface HarnessSockets {
  /** For the client's option `WebSocket`. */
  WebSocket: SocketConstructor;
  /** Loses all connections. */
  cut(): void;
}

export function socketsOf(agent: TestAgent): HarnessSockets {
  const open = new Set<{ lose(): void }>();
  class HarnessSocket implements SocketLike {
    onopen: ((event: never) => void) | null = null;
    onmessage: ((event: { data: string }) => void) | null = null;
    onclose: ((event: { code: number; reason: string }) => void) | null = null;
    onerror: ((event: never) => void) | null = null;
    readonly #server: TestClient;

    constructor(url: string, protocols: string[]) {
      const headers = { "sec-websocket-protocol": protocols.join(", ") };
      const server = this.#server = agent.dial(new URL(url).search.slice(1), headers);
      const check = server.send.bind(server);
      for (const frame of server.frames) this.#receive(JSON.stringify(frame));
      server.send = (text): void => {
        check(text);
        this.#receive(text);
      };
      open.add(this);
    }

    send(text: string): void {
      this.#server.say(text);
    }

    close(): void {
      open.delete(this);
      this.#server.vanish();
    }

    lose(): void {
      this.close();
      this.onclose?.({ code: 1006, reason: "" });
    }

    /** As a network does: later, and in order. */
    #receive(text: string): void {
      queueMicrotask(() => this.onmessage?.({ data: text }));
    }
  }
  return {
    WebSocket: HarnessSocket as SocketConstructor,
    cut: () => {
      for (const socket of [...open]) socket.lose();
    },
  };
}

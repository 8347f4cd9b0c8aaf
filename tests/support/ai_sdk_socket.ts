/** Sockets of the AI SDK's own transport that lead to a worker in this process. */

import type { WebSocketChatTransport } from "ai";
import type { TestAgent } from "./agent_harness.ts";
import { type AiSdkPage, openPage } from "./ai_sdk_page.ts";

type SocketClass = NonNullable<ConstructorParameters<typeof WebSocketChatTransport>[0]["webSocket"]>;

/** A socket class for the option `webSocket` of `WebSocketChatTransport`. */
export function socketsOf(agent: TestAgent): SocketClass {
  return class PageSocket {
    readyState = 0;
    onopen: ((event: unknown) => void) | null = null;
    onmessage: ((event: { data: unknown }) => void) | null = null;
    onclose: ((event: unknown) => void) | null = null;
    onerror: ((event: unknown) => void) | null = null;
    #page: AiSdkPage | undefined;

    constructor() {
      void openPage(agent).then((page) => {
        this.#page = page;
        const check = page.send.bind(page);
        page.send = (text): void => {
          check(text);
          this.onmessage?.({ data: text });
        };
        this.readyState = 1;
        this.onopen?.({});
      });
    }

    send(text: string): void {
      this.#page?.say(text);
    }

    close(code?: number, reason?: string): void {
      this.readyState = 3;
      this.#page?.vanish();
      this.onclose?.({ code, reason });
    }
  };
}

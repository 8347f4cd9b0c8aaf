/** The agent of a page in the browser, played by a test: it speaks the frames of docs/PROTOCOL.md. */

import assert from "node:assert/strict";
import type { WebSocketRoute } from "playwright-core";
import type { PlaygroundPage } from "./playground.ts";
import { eventually } from "./local_stack.ts";
import type { SentFrame } from "./scripted_sockets.ts";

export class PageServer {
  readonly #sent: SentFrame[] = [];
  #socket: WebSocketRoute | undefined;

  /** Takes the place of the page's agent, and loads the page again. */
  static async of(page: PlaygroundPage): Promise<PageServer> {
    const server = new PageServer();
    await page.page.routeWebSocket(/\/agent_websocket\?/, (socket) => server.#welcome(socket));
    await page.page.evaluate("sessionStorage.clear()");
    await page.page.reload();
    await page.is("open");
    return server;
  }

  say(frame: Readonly<Record<string, unknown>>): void {
    assert.ok(this.#socket, "the page has no connection");
    this.#socket.send(JSON.stringify(frame));
  }

  status(code: string, id: string): void {
    this.say({ type: "status", content: code, timestamp: "", code, in_reply_to: id });
  }

  error(code: string, id: string): void {
    this.say({ type: "error", content: code, timestamp: "", code, retryable: false, in_reply_to: id });
  }

  /** The id of the next question. */
  async asked(): Promise<string> {
    return (await this.next("query")).id;
  }

  /** The next frame of this type that the page sends. */
  async next(type: string): Promise<SentFrame> {
    return await eventually(`the page sends a ${type}`, () => {
      const at = this.#sent.findIndex((frame) => frame.type === type);
      return at < 0 ? undefined : this.#sent.splice(at, 1)[0];
    });
  }

  #welcome(socket: WebSocketRoute): void {
    this.#socket = socket;
    assert.equal(new URL(socket.url()).searchParams.get("tools"), "true");
    socket.onMessage((text) => {
      const frame: SentFrame = JSON.parse(String(text));
      this.#sent.push(frame);
      if (frame.content === "ping") this.status("pong", frame.id);
    });
    this.say({
      type: "notification",
      code: "connected",
      content: "Connected",
      timestamp: "",
      session_id: "11111111-1111-4111-8111-111111111111",
      connection_id: "c1",
      resume_token: "t",
      durable: false,
      protocol: 1,
      limits: { max_message_bytes: 65_536, max_queue: 20 },
    });
  }
}

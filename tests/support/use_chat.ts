/** The real `useChat` of `@ai-sdk/react` in the real React, on a page of jsdom. A test file has globals of its own. */

import type { UseChatHelpers, UseChatOptions } from "@ai-sdk/react";
import { type UIMessage, WebSocketChatTransport } from "ai";
import { JSDOM } from "jsdom";

const dom = new JSDOM("<!doctype html>", { url: "http://localhost/" });
// React looks for them when it is loaded, and whenever it works.
Object.assign(globalThis, { window: dom.window, document: dom.window.document });
const { createElement, StrictMode } = await import("react");
const { createRoot } = await import("react-dom/client");
const { flushSync } = await import("react-dom");
const { useChat } = await import("@ai-sdk/react");
export { Chat } from "@ai-sdk/react";

export interface ChatPage {
  /** What `useChat` returned last. */
  readonly chat: UseChatHelpers<UIMessage>;
  /** What the page shows of each message. */
  readonly shown: readonly string[];
  /** Leaves the page in the app: the component is removed. */
  unmount(): void;
}

/**
 * What an example passes to the hook: its code is run as a component would run it. Imports are left out, and `scope` has what else
 * the code names. `chat` in the code is the `chat` of the page that is rendered with the options.
 */
export function optionsOf(
  code: string,
  scope: Readonly<Record<string, unknown>>,
): UseChatOptions<UIMessage> & { onRendered(page: ChatPage): void } {
  const body = code.replaceAll(/^import .*$/gm, "").replace(/const chat = useChat\(/, "return useChat(");
  let page: ChatPage | undefined;
  const chat = new Proxy({}, { get: (_, name) => Reflect.get(page?.chat ?? {}, name) });
  const all = { ...scope, chat, WebSocketChatTransport, useChat: (options: unknown) => options };
  const options = new Function(...Object.keys(all), body)(...Object.values(all));
  return { ...options, onRendered: (rendered) => void (page = rendered) };
}

/** Renders a component that uses the hook. In StrictMode React mounts it twice. */
export function renderChat(options: UseChatOptions<UIMessage>, { strict = false } = {}): ChatPage {
  let chat: UseChatHelpers<UIMessage> | undefined;
  const Page = (): unknown => {
    chat = useChat(options);
    return createElement(
      "div",
      null,
      chat.messages.map((message) => createElement("p", { key: message.id }, textOf(message))),
    );
  };
  const div = dom.window.document.createElement("div");
  const root = createRoot(div);
  const page = createElement(Page);
  flushSync(() => root.render(strict ? createElement(StrictMode, null, page) : page));
  return {
    get chat(): UseChatHelpers<UIMessage> {
      if (chat === undefined) throw new Error("Cannot use the chat: it was not rendered yet");
      return chat;
    },
    get shown(): readonly string[] {
      return Array.from(div.querySelectorAll("p"), ({ textContent }) => textContent ?? "");
    },
    unmount: () => root.unmount(),
  };
}

/** The text of a message, of all its parts. */
export function textOf(message: UIMessage | undefined): string {
  return (message?.parts ?? []).map((part) => part.type === "text" ? part.text : "").join("");
}

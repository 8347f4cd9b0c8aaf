/** The addresses of the stack, and commands to paste into a terminal. */

import type { StackInfo } from "../local/stack_info.ts";
import { announce } from "./announcer.ts";
import { el, find, setText } from "./dom.ts";

export class StackView {
  readonly #info: StackInfo;

  constructor(info: StackInfo) {
    this.#info = info;
    const { url, functions, model, authMode, publishableKey, lite, wscat } = info;
    const rows: (readonly [string, Node | string])[] = [
      ...functions.map((name) => [`Function ${name}`, link(`${url}/functions/v1/${name}/health`)] as const),
      ...(lite ? [["Auth", `${url}/auth/v1`], ["REST", `${url}/rest/v1`]] as const : []),
      ["Signing keys", link(`${url}/auth/v1/.well-known/jwks.json`)],
      ["Model", model],
      ["AUTH_MODE", authMode],
      ["Publishable key", publishableKey],
    ];
    find("stack", HTMLElement).append(
      ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "mono" }, value)]),
    );
    setText(find("wscat", HTMLElement), wscat);
    this.session(undefined);
    find("copy-curl", HTMLButtonElement).addEventListener("click", () => void this.#copy());
  }

  /** The session for the example notification. */
  session(id: string | undefined): void {
    const { url, secretKey = "$SUPABASE_SECRET_KEY" } = this.#info;
    const body = JSON.stringify({ session_id: id ?? "…", message: "Hello from outside" });
    setText(
      find("curl", HTMLElement),
      `curl ${url}/functions/v1/notify_websocket \\\n  -H "apikey: ${secretKey}" \\\n  -H "content-type: application/json" \\\n  -d '${body}'`,
    );
  }

  async #copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(find("curl", HTMLElement).textContent ?? "");
      announce("Copied");
    } catch {
      // The clipboard is not allowed: select the text instead.
      getSelection()?.selectAllChildren(find("curl", HTMLElement));
    }
  }
}

function link(url: string): HTMLElement {
  return el("a", { href: url }, url.replace(/^https?:\/\/[^/]+/, ""));
}

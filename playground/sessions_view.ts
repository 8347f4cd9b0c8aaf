/** The sessions of the signed-in user, and the actions on the current one. */

import type { AgentClient } from "../client/mod.ts";
import { button, el, find, setText } from "./dom.ts";

export interface SessionsViewOptions {
  client(): AgentClient;
  isSignedIn(): boolean;
  /** The token with which another tab can join. */
  resumeToken(): string | undefined;
  open(sessionId: string): void;
  begin(): void;
  onError(error: unknown): void;
}

interface SessionRow {
  session_id: string;
  created_at: string;
  current: boolean;
}

export class SessionsView {
  readonly #options: SessionsViewOptions;
  readonly #list = find("sessions", HTMLElement);
  readonly #note = find("sessions-note", HTMLElement);
  readonly #delete = find("delete-session", HTMLButtonElement);

  constructor(options: SessionsViewOptions) {
    this.#options = options;
    const { client, begin, onError } = options;
    find("new-session", HTMLButtonElement).addEventListener("click", begin);
    find("clear-session", HTMLButtonElement).addEventListener("click", () => {
      client().command("clear").then(
        () => setText(this.#note, "The agent has forgotten the conversation so far."),
        onError,
      );
    });
    this.#delete.addEventListener("click", () => {
      // The first click asks, the second click confirms.
      if (this.#delete.textContent === "Delete") return setText(this.#delete, "Really delete?");
      setText(this.#delete, "Delete");
      client().command("delete").then(begin, onError);
    });
    this.#delete.addEventListener("blur", () => setText(this.#delete, "Delete"));
  }

  /** Called when the connection is ready. */
  async draw(): Promise<void> {
    const { client, isSignedIn, resumeToken, onError } = this.#options;
    const { session } = client();
    const link = new URLSearchParams({ session: session?.id ?? "" });
    const token = resumeToken();
    if (token !== undefined) link.set("resume_token", token);
    find("second-tab", HTMLAnchorElement).href = `/#${link}`;
    setText(this.#note, isSignedIn() ? "" : "Sign in, and all your sessions are listed here.");
    this.#list.replaceChildren();
    if (!isSignedIn()) return;
    try {
      const { data } = await client().command("sessions", { limit: 20 });
      this.#show(data?.sessions);
    } catch (error) {
      onError(error);
    }
  }

  #show(sessions: unknown): void {
    if (!Array.isArray(sessions)) return;
    this.#list.replaceChildren(
      ...sessions.map(({ session_id: id, created_at: at, current }: SessionRow) =>
        el(
          "li",
          {},
          el(
            "span",
            { class: "ellipsis" },
            new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "short" }),
          ),
          el("span", { class: "muted mono" }, id.slice(0, 8)),
          current ? el("span", { class: "chip", "data-tone": "good" }, "open") : button(
            "Open",
            { class: "small-button", "aria-label": `Open session ${id.slice(0, 8)}` },
            () => this.#options.open(id),
          ),
        )
      ),
    );
  }
}

/** The list of conversations, with search and archive. */

import { AgentClientError, type Conversation, type Turn } from "../client/mod.ts";
import { announce } from "./announcer.ts";
import type { Chat } from "./chat.ts";
import { listOfBrowser } from "./conversation_list.ts";
import { ConversationRowView } from "./conversation_row.ts";
import { find, setText } from "./dom.ts";
import { RememberedConversations } from "./remembered.ts";

const PAGE = 30;
/** The largest page that the server sends. */
const MAX_PAGE = 200;
/** Several changes in this time cause one request. */
const REFRESH_MS = 250;

export interface ConversationsViewOptions {
  chat: Chat;
  isSignedIn(): boolean;
  onError(error: unknown): void;
}

export class ConversationsView {
  readonly #options: ConversationsViewOptions;
  readonly #remembered = new RememberedConversations();
  readonly #panel = find("conversations-panel", HTMLDetailsElement);
  readonly #list = find("conversations", HTMLElement);
  readonly #search = find("search", HTMLInputElement);
  readonly #archived = find("archived", HTMLInputElement);
  readonly #more = find("more-conversations", HTMLButtonElement);
  readonly #wide = matchMedia("(width >= 75rem)");
  readonly #views = new Map<string, ConversationRowView>();
  readonly #states = new WeakMap<Turn, Turn["state"]>();
  #rows: Conversation[] = [];
  #hasMore = false;
  /** The open conversation: known before it is connected. */
  #currentId: string | undefined;
  /** Counts requests: only the answer to the newest one is shown. */
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConversationsViewOptions) {
    this.#options = options;
    find("new-conversation", HTMLButtonElement).addEventListener("click", () => this.#begin());
    find("clear-memory", HTMLButtonElement).addEventListener("click", () => void this.#clearMemory());
    this.#search.addEventListener("input", () => this.#schedule(true));
    this.#archived.addEventListener("change", () => void this.#load());
    this.#more.addEventListener("click", () => void this.#load(this.#rows.at(-1)?.session_id));
    this.#panel.addEventListener("keydown", (event) => this.#move(event));
    const fit = (): void => void (this.#panel.open = this.#wide.matches);
    this.#wide.addEventListener("change", fit);
    fit();
  }

  /** Another conversation is being opened, or another user has come. */
  reset(sessionId: string | undefined): void {
    this.#currentId = sessionId;
    this.#draw();
    const isSignedIn = this.#options.isSignedIn();
    find("archived-label", HTMLElement).hidden = !isSignedIn;
    if (!isSignedIn) this.#archived.checked = false;
  }

  /** The list is another user's. */
  clear(): void {
    this.#asked++;
    this.#rows = [];
    this.#hasMore = false;
    this.#search.value = "";
    setText(find("conversations-note", HTMLElement), "");
    this.#draw();
  }

  /** The connection is ready. `isLost`: the conversation that was to be opened does not exist any more. */
  opened(sessionId: string, isLost: boolean): void {
    if (isLost && this.#currentId !== undefined) this.#remembered.forget(this.#currentId);
    this.#currentId = sessionId;
    const link = new URLSearchParams({ session: sessionId });
    const { resumeToken } = this.#options.chat;
    if (resumeToken !== undefined) link.set("resume_token", resumeToken);
    find("second-tab", HTMLAnchorElement).href = `/#${link}`;
    this.#draw();
    this.#schedule(false);
  }

  /** A turn has changed: with its state, its conversation's place in the list may change. */
  turn(turn: Turn): void {
    if (this.#states.get(turn) === turn.state) return;
    this.#states.set(turn, turn.state);
    if (turn.state !== "waiting") this.#schedule(false);
  }

  /** `isAsked`: by the user. Otherwise a connection that was closed because it was idle is left closed. */
  #schedule(isAsked: boolean): void {
    if (isAsked) clearTimeout(this.#timer);
    else if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (isAsked || this.#options.chat.client.status === "open") void this.#load(undefined, isAsked);
    }, REFRESH_MS);
  }

  async #load(before?: string, isAsked = true): Promise<void> {
    const { chat, isSignedIn, onError } = this.#options;
    const { client, resumeToken } = chat;
    const asked = ++this.#asked;
    const limit = before === undefined ? Math.min(MAX_PAGE, Math.max(PAGE, this.#rows.length)) : PAGE;
    const search = this.#search.value.trim();
    try {
      const range = { limit, archived: this.#archived.checked, ...(before !== undefined && { before }) };
      const rows = isSignedIn()
        ? await client.sessions({ ...range, search })
        : await listOfBrowser(client, search, { remembered: this.#remembered, resumeToken });
      if (asked !== this.#asked || client !== chat.client) return;
      const earlier = before === undefined ? [] : this.#rows;
      this.#rows = [...new Map([...earlier, ...rows].map((row) => [row.session_id, row])).values()];
      this.#hasMore = isSignedIn() && rows.length === limit;
      this.#draw();
      this.#note(search, isAsked);
    } catch (error) {
      if (isAsked && !(error instanceof AgentClientError && error.code === "closed")) onError(error);
    }
  }

  #note(search: string, isAsked: boolean): void {
    const count = this.#shown().length;
    const isEmpty = count === 0;
    let words = "";
    if (search !== "") words = isEmpty ? `Nothing found for “${search}”.` : `${count} found.`;
    else if (this.#archived.checked && isEmpty) words = "The archive is empty.";
    else if (!this.#options.isSignedIn()) {
      words = "This browser remembers these. Sign in, and the server lists all your conversations.";
    }
    setText(find("conversations-note", HTMLElement), words);
    if (isAsked && search !== "") announce(words);
  }

  /** Each page load begins a session. Those in which nothing was said are not shown. */
  #shown(): Conversation[] {
    return this.#rows.filter(({ session_id: id, title, preview }) =>
      id === this.#currentId || title !== "" || preview !== ""
    );
  }

  #draw(): void {
    const rows = this.#shown();
    const ids = new Set(rows.map(({ session_id: id }) => id));
    for (const [id, { element }] of this.#views) {
      if (ids.has(id)) continue;
      if (element.contains(document.activeElement)) this.#search.focus();
      element.remove();
      this.#views.delete(id);
    }
    let next: Element | null = null;
    for (const row of rows.toReversed()) {
      const { element } = this.#viewOf(row);
      // An element that stays where it is keeps the focus.
      if (element.parentElement === null || element.nextElementSibling !== next) {
        this.#list.insertBefore(element, next);
      }
      next = element;
    }
    this.#more.hidden = !this.#hasMore;
    const current = rows.find(({ session_id: id }) => id === this.#currentId);
    setText(find("current-title", HTMLElement), current?.title ?? "");
  }

  #viewOf(row: Conversation): ConversationRowView {
    const { session_id: id } = row;
    const view = this.#views.get(id) ?? new ConversationRowView({
      open: () => this.#open(id),
      rename: (title) => void this.#change((client) => client.rename(title, { sessionId: id })),
      archive: (archived) => void this.#change((client) => client.archive(archived, { sessionId: id })),
      delete: () => void this.#delete(id),
    });
    this.#views.set(id, view);
    const isCurrent = id === this.#currentId;
    const isSignedIn = this.#options.isSignedIn();
    // Without a user, the server changes only the conversation of the connection.
    view.show(row, { isCurrent, mayChange: isSignedIn || isCurrent, mayArchive: isSignedIn });
    return view;
  }

  #open(id: string): void {
    if (id !== this.#currentId) {
      this.#options.chat.open(id, this.#options.isSignedIn() ? undefined : this.#remembered.tokenOf(id));
    }
    this.#leave(find("log", HTMLElement));
  }

  #begin(): void {
    this.#options.chat.begin();
    this.#leave();
    find("question", HTMLElement).focus();
  }

  /** Where the list covers the conversation, it is closed. */
  #leave(focus?: HTMLElement): void {
    if (this.#wide.matches) return;
    this.#panel.open = false;
    focus?.focus();
  }

  async #change(send: (client: Chat["client"]) => Promise<unknown>): Promise<void> {
    try {
      await send(this.#options.chat.client);
      await this.#load();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  async #delete(id: string): Promise<void> {
    const { chat, onError } = this.#options;
    try {
      await chat.client.delete({ sessionId: id });
    } catch (error) {
      return onError(error);
    }
    this.#remembered.forget(id);
    this.#rows = this.#rows.filter((row) => row.session_id !== id);
    this.#draw();
    if (id === this.#currentId) this.#begin();
    else await this.#load();
  }

  async #clearMemory(): Promise<void> {
    try {
      await this.#options.chat.client.command("clear");
      setText(find("conversations-note", HTMLElement), "The agent has forgotten the conversation so far.");
    } catch (error) {
      this.#options.onError(error);
    }
  }

  /** The arrow keys move between the rows, and from the search into the list. */
  #move(event: KeyboardEvent): void {
    const { key, target } = event;
    const buttons = [...this.#list.querySelectorAll<HTMLElement>(".conversation-open")];
    const at = buttons.findIndex((one) => one === target);
    if (at < 0 && target !== this.#search) return;
    const places: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      ...(at >= 0 && { Home: 0, End: buttons.length - 1 }),
    };
    const place = places[key];
    if (place === undefined || (at < 0 && key === "ArrowUp")) return;
    event.preventDefault();
    (buttons[place] ?? (place < 0 ? this.#search : undefined))?.focus();
  }
}

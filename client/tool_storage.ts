/**
 * Keeps the tool calls of open turns over a reload of the page. The client resumes behind the events that it has seen, so the server does
 * not send them again.
 */

import type { CursorStorage } from "./ports.ts";
import type { ToolTurn } from "./tool_calls.ts";

interface Kept {
  sessionId?: string | undefined;
  turns: readonly ToolTurn[];
}

export class ToolStorage {
  readonly #storage: CursorStorage | undefined;
  readonly #key: string;
  #isEmpty = false;

  constructor(
    { storage, storageKey = "agent-websocket", chatId }: {
      storage?: CursorStorage;
      storageKey?: string;
      chatId?: string;
    },
  ) {
    this.#storage = storage;
    this.#key = `${storageKey}${chatId === undefined ? "" : `:${chatId}`} tools`;
  }

  load(): Kept {
    try {
      const kept: unknown = JSON.parse(this.#storage?.getItem(this.#key) ?? "{}");
      if (Array.isArray((kept as Partial<Kept>).turns)) return kept as Kept;
    } catch {
      // Invalid, or the storage is forbidden.
    }
    return { turns: [] };
  }

  /** Full or forbidden storage is not an error. */
  save(sessionId: string | undefined, turns: ReadonlyMap<string, ToolTurn>): void {
    const open = [...turns.values()].filter(({ end }) => end === undefined);
    if (open.length === 0 && this.#isEmpty) return;
    this.#isEmpty = open.length === 0;
    try {
      if (this.#isEmpty) this.#storage?.removeItem(this.#key);
      else this.#storage?.setItem(this.#key, JSON.stringify({ sessionId, turns: open }));
    } catch {
      // After a reload, what waits is shown only if the server sends it again.
    }
  }
}

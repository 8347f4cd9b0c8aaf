/** What this browser remembers of anonymous conversations: the server lists only those of signed-in users. */

import type { Conversation } from "../client/mod.ts";

const STORAGE_KEY = "agent-websocket-conversations";
const MAX_REMEMBERED = 30;

interface Remembered extends Conversation {
  /** Opens the conversation. It stays in this browser. */
  resumeToken: string;
}

export class RememberedConversations {
  /** Most recently active first. With `search`, those that contain all of its words. */
  list(search = ""): Conversation[] {
    const words = search.toLowerCase().split(/\s+/);
    return load().filter(({ title, preview }) => {
      const text = `${title} ${preview}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  tokenOf(sessionId: string): string | undefined {
    return load().find(({ session_id: id }) => id === sessionId)?.resumeToken;
  }

  keep(conversation: Conversation, resumeToken: string): void {
    // Whether its answer is still being written when the list is read is not known.
    const kept: Remembered = { ...conversation, state: "idle", current: false, resumeToken };
    save([kept, ...load().filter(({ session_id: id }) => id !== kept.session_id)]);
  }

  forget(sessionId: string): void {
    save(load().filter(({ session_id: id }) => id !== sessionId));
  }
}

function load(): Remembered[] {
  try {
    const rows: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(rows) ? rows : [];
  } catch {
    return [];
  }
}

function save(rows: Remembered[]): void {
  const newest = rows.toSorted((a, b) => b.last_activity.localeCompare(a.last_activity));
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(newest.slice(0, MAX_REMEMBERED)));
  } catch {
    // The storage is full or forbidden: then nothing is remembered.
  }
}

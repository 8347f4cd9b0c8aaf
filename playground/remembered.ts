/** What this browser remembers of anonymous conversations: the server lists only those of signed-in users. */

const STORAGE_KEY = "agent-websocket-conversations";
const MAX_REMEMBERED = 30;

/** A conversation as the command `sessions` lists it. */
export interface ConversationRow {
  session_id: string;
  /** Empty before the first question. */
  title: string;
  preview: string;
  /** ISO 8601. */
  last_activity: string;
  state: "running" | "idle";
  archived: boolean;
}

interface Remembered extends ConversationRow {
  /** Opens the conversation. It stays in this browser. */
  resumeToken: string;
}

export class RememberedConversations {
  /** Most recently active first. With `search`, those that contain all of its words. */
  list(search = ""): ConversationRow[] {
    const words = search.toLowerCase().split(/\s+/);
    return load().filter(({ title, preview }) => {
      const text = `${title} ${preview}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  tokenOf(sessionId: string): string | undefined {
    return load().find(({ session_id: id }) => id === sessionId)?.resumeToken;
  }

  keep({ session_id, title, preview, last_activity, archived }: ConversationRow, resumeToken: string): void {
    // Whether it is still running tomorrow is not known.
    const kept = { session_id, title, preview, last_activity, archived, state: "idle", resumeToken } as const;
    save([kept, ...load().filter(({ session_id: id }) => id !== session_id)]);
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

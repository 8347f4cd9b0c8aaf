/** What a client asks of the server besides queries. */

import type { Commands, Feedback, StatusFrame } from "./frames.ts";

/** Idempotent commands: executing one twice does no harm. */
const REPEATABLE: readonly string[] = [
  "help",
  "ping",
  "status",
  "history",
  "configure",
  "sessions",
  "rename",
  "archive",
];

/** One conversation of the list, as the server sends it. */
export interface Conversation {
  session_id: string;
  /** Your own id, if the conversation was opened with one. */
  chat_id?: string;
  /** The first question's beginning until it is renamed; empty before the first question. */
  title: string;
  /** The beginning of the newest question or answer. */
  preview: string;
  /** ISO 8601, like `last_activity`. */
  created_at: string;
  /** When the newest question or answer was stored. */
  last_activity: string;
  state: "running" | "idle";
  archived: boolean;
  /** Whether it is this client's own. */
  current: boolean;
}

/** Which conversation: by default the client's own. */
export interface ConversationTarget {
  sessionId?: string;
}

export abstract class CommandSender {
  /** Sends a frame with a new id and resolves with its answer. */
  protected abstract request(frame: object, isRepeatable: boolean): Promise<StatusFrame>;

  /**
   * Sends a command and resolves with its answer. Rejects with the server's error. Rejects with `connection_lost` if
   * the connection was lost before the answer and a repeated command could do harm (`clear`, `cancel`, `delete`).
   */
  command<V extends keyof Commands>(verb: V, args?: Commands[V]): Promise<StatusFrame> {
    return this.request({ type: "command", content: verb, ...(args && { args }) }, REPEATABLE.includes(verb));
  }

  /** Sends feedback on a turn (`turn_id`; default: the last turn). Sends it again until the server acknowledges it. */
  feedback(feedback: Feedback): Promise<StatusFrame> {
    return this.request({ ...feedback, type: "human_feedback" }, true);
  }

  /**
   * The user's conversations, the most recently active first: `limit` of them (default 50, at most 200), after the session
   * `before`. `search`: only those with all these words in the title or the questions; empty for all. `archived`: those in
   * the archive instead of the others. Rejects as {@linkcode CommandSender.command} does, like the methods below.
   */
  async sessions({ search, ...range }: Commands["sessions"] = {}): Promise<Conversation[]> {
    const isSearch = search !== undefined && search.trim() !== "";
    const { data } = await this.command("sessions", { ...range, ...(isSearch && { search }) });
    return (data as { sessions: Conversation[] }).sessions;
  }

  /** Sets the title of a conversation, at most 200 characters. */
  rename(title: string, { sessionId }: ConversationTarget = {}): Promise<StatusFrame> {
    return this.command("rename", { title, ...(sessionId !== undefined && { session_id: sessionId }) });
  }

  /** Moves a conversation into the archive, or with `false` out of it. A new query takes it out as well. */
  archive(archived = true, { sessionId }: ConversationTarget = {}): Promise<StatusFrame> {
    return this.command("archive", { archived, ...(sessionId !== undefined && { session_id: sessionId }) });
  }

  /** Deletes a conversation and all its data. If it is the client's own, the client closes with 4009. */
  delete({ sessionId }: ConversationTarget = {}): Promise<StatusFrame> {
    return this.command("delete", sessionId === undefined ? {} : { session_id: sessionId });
  }
}
